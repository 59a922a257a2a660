//! [`Ssl`], what a URL says of TLS.

use std::path::PathBuf;

use chappe_core::{Error, ErrorKind};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

/// The options that are read here, as the client knows less of them.
const OPTIONS: [&str; 2] = ["sslmode", "sslrootcert"];

/// How a URL wants the connection encrypted and the server checked, with the meanings of `libpq`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ssl {
    pub(super) mode: Mode,
    /// The authorities to trust, unless it is those of the system.
    pub(super) roots: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Ssl {
    /// Takes what is said of TLS out of a URL; answers it with the rest of the URL.
    pub(super) fn take(url: &str) -> Result<(Option<Self>, String), Error> {
        let Some((place, query)) = url.split_once('?').filter(|_| url.contains("://")) else {
            return Ok((None, url.to_owned()));
        };
        let (mut found, mut rest) = ([None, None], Vec::new());
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match OPTIONS.iter().position(|option| *option == key) {
                Some(at) => found[at] = Some(decoded(value).ok_or_else(|| invalid(key, "a text, percent-encoded"))?),
                None => rest.push(pair),
            }
        }
        let [mode, roots] = found;
        let mark = if rest.is_empty() { "" } else { "?" };
        Ok((Self::of(mode.as_deref(), roots)?, format!("{place}{mark}{}", rest.join("&"))))
    }

    fn of(mode: Option<&str>, roots: Option<String>) -> Result<Option<Self>, Error> {
        let mode = match mode {
            None if roots.is_none() => return Ok(None),
            Some("disable") => Mode::Disable,
            None | Some("prefer") => Mode::Prefer,
            Some("require") => Mode::Require,
            Some("verify-ca") => Mode::VerifyCa,
            Some("verify-full") => Mode::VerifyFull,
            Some(_) => return Err(invalid("sslmode", "disable, prefer, require, verify-ca or verify-full")),
        };
        if roots.is_some() && matches!(mode, Mode::Disable | Mode::Prefer) {
            let text = "option sslrootcert has no effect without sslmode=verify-full, verify-ca or require";
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        let roots = roots.filter(|path| path != "system").map(PathBuf::from);
        Ok(Some(Self { mode, roots }))
    }

    /// What is meant by a configuration of which nothing else is known.
    pub(super) fn of_config(config: &Config) -> Self {
        let mode = match config.get_ssl_mode() {
            SslMode::Disable => Mode::Disable,
            SslMode::Require => Mode::Require,
            // Without a name there is none to check a certificate for.
            _ if config.get_hosts().is_empty() => Mode::Disable,
            _ => Mode::Prefer,
        };
        Self { mode, roots: None }
    }

    /// The part of it that the client knows.
    pub(super) fn apply(&self, config: &mut Config) {
        config.ssl_mode(match self.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        });
    }

    /// Whether a connection without TLS will not do.
    #[cfg(not(feature = "tls"))]
    pub(super) fn is_required(&self) -> bool {
        self.roots.is_some() || !matches!(self.mode, Mode::Disable | Mode::Prefer)
    }
}

fn invalid(option: &str, wanted: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("option {option} is to be {wanted}"))
}

/// A value with its percent signs resolved.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit =
                    |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit(rest.next())? << 4 | digit(rest.next())?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_tls_is_taken_out_of_a_url() {
        let url = "postgres://u:p@h/db?connect_timeout=3&sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem";

        let (ssl, rest) = Ssl::take(url).unwrap();

        assert_eq!(rest, "postgres://u:p@h/db?connect_timeout=3");
        assert_eq!(ssl, Some(Ssl { mode: Mode::VerifyFull, roots: Some("/etc/ca.pem".into()) }));
        for other in ["postgres://h/db", "host=h sslmode=require"] {
            assert_eq!(Ssl::take(other).unwrap(), (None, other.to_owned()));
        }
    }

    #[test]
    fn the_authorities_of_the_system_have_a_name() {
        let (ssl, _) = Ssl::take("postgres://h/db?sslmode=verify-ca&sslrootcert=system").unwrap();

        assert_eq!(ssl, Some(Ssl { mode: Mode::VerifyCa, roots: None }));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        for (query, says) in [
            ("sslmode=allow", "disable, prefer, require, verify-ca or verify-full"),
            ("sslmode=", "disable, prefer, require, verify-ca or verify-full"),
            ("sslrootcert=/ca.pem", "no effect without sslmode=verify-full"),
            ("sslmode=disable&sslrootcert=/ca.pem", "no effect without sslmode=verify-full"),
            ("sslmode=%zz", "percent-encoded"),
        ] {
            let error = Ssl::take(&format!("postgres://u:hunter2@h/db?{query}")).unwrap_err();

            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
