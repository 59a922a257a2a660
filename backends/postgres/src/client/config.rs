//! [`PgConfig`], how to connect.

use std::fmt;
use std::time::Duration;

use chappe_core::{Error, ErrorKind};
use tokio_postgres::config::Host;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Config, NoTls, Socket};

use super::drive::{Connector, connector};
use super::ssl::Ssl;

/// How long a connection may take, where the configuration does not say.
const CONNECT: Duration = Duration::from_secs(5);
/// How long what was sent may stay unconfirmed by the other machine before the connection is given up.
const USER_TIMEOUT: Duration = Duration::from_secs(12);
/// After which silence, how often and how many times the other machine is asked whether it is there.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(5), Duration::from_secs(2), 3);

/// How to connect to a PostgreSQL server, version 13 or later.
///
/// Where the given configuration is silent, connections have keepalives after five seconds, a
/// `tcp_user_timeout` of twelve, five to connect in, and `chappe` as their application name.
///
/// # Examples
///
/// ```
/// use chappe_postgres::PgConfig;
///
/// let config = PgConfig::from_url("postgres://app:secret@db.example/app").unwrap();
/// assert_eq!(config.to_string(), "postgres://db.example:5432/app");
/// ```
#[derive(Clone)]
pub struct PgConfig {
    config: Config,
    connector: Connector,
    /// Whether TLS is asked for and there is none.
    lacks_tls: bool,
}

impl PgConfig {
    /// Connects by `config`, without TLS until [`tls`](Self::tls) is given.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut config = config.clone();
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(USER_TIMEOUT);
        }
        if config.get_keepalives_interval().is_none() {
            let (idle, interval, retries) = KEEPALIVE;
            config.keepalives_idle(idle).keepalives_interval(interval).keepalives_retries(retries);
        }
        if config.get_application_name().is_none() {
            config.application_name("chappe");
        }
        Self { config, connector: connector(NoTls), lacks_tls: false }
    }

    /// Connects by a URL or a string of `key=value` pairs, as `psql` takes them.
    ///
    /// With the feature `tls` (`postgres-tls` of `chappe`) there is TLS as `sslmode` asks for it:
    ///
    /// | `sslmode` | encrypted | the server is |
    /// |---|---|---|
    /// | `disable` | no | whoever answers |
    /// | `prefer`, the default | if the server can | whoever answers |
    /// | `require` | yes | whoever answers; with `sslrootcert`, as `verify-ca` |
    /// | `verify-ca` | yes | who has a certificate of an authority |
    /// | `verify-full` | yes | who has one for the host of the URL |
    ///
    /// Authorities are those of the system, or of the PEM file `sslrootcert=/path`, which is read now. `verify-ca`,
    /// `verify-full` and `sslrootcert` are for URLs. Without the feature, what needs TLS can connect only with a
    /// connector of yours, given to [`tls`](Self::tls).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`]: the URL makes no sense, or there are no authorities to trust.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        let (ssl, url) = Ssl::take(url)?;
        // Its errors name keys, never values.
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            let text = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            Error::new(ErrorKind::Invalid, format!("not a PostgreSQL URL: {text}"))
        })?;
        let ssl = ssl.unwrap_or_else(|| Ssl::of_config(&config));
        ssl.apply(&mut config);
        Self::new(&config).by(&ssl)
    }

    #[cfg(feature = "tls")]
    fn by(self, ssl: &Ssl) -> Result<Self, Error> {
        Ok(Self { connector: super::tls::connect(ssl)?, ..self })
    }

    #[cfg(not(feature = "tls"))]
    fn by(self, ssl: &Ssl) -> Result<Self, Error> {
        Ok(Self { lacks_tls: ssl.is_required(), ..self })
    }

    /// Connects with TLS by a connector of yours, by the `sslmode` of the configuration. What servers it trusts is
    /// its own affair, so that `verify-ca` and `verify-full` are `require` to it.
    #[must_use]
    pub fn tls<T>(mut self, tls: T) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send + 'static,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        self.connector = connector(tls);
        self.lacks_tls = false;
        self
    }

    /// Names the connections in `pg_stat_activity`.
    #[must_use]
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.config.application_name(name);
        self
    }

    /// Whether it can connect as it was asked to.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`]: it takes TLS, which was not built in.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.lacks_tls {
            let text = format!(
                "cannot connect to {self}: its sslmode takes TLS; build with the feature tls of chappe-postgres, \
                 postgres-tls of chappe, or give a connector of yours to `PgConfig::tls`"
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        Ok(())
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }
}

/// Where it connects to, without credentials.
impl fmt::Display for PgConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        let ports = self.config.get_ports();
        for (at, host) in self.config.get_hosts().iter().enumerate() {
            let port = ports.get(at).or(ports.first()).unwrap_or(&5432);
            let comma = if at > 0 { "," } else { "" };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}:{port}")?,
                #[cfg(unix)]
                Host::Unix(path) => write!(f, "{comma}{}:{port}", path.display())?,
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for PgConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PgConfig({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_has_credentials() {
        let config = PgConfig::from_url("postgres://user:hunter2@a:1,b:2/db").unwrap();

        let shown = format!("{config} {config:?}");

        assert!(!shown.contains("hunter2") && !shown.contains("user"), "{shown}");
        assert!(shown.starts_with("postgres://a:1,b:2/db "), "{shown}");
    }

    #[test]
    #[cfg(not(feature = "tls"))]
    fn tls_that_was_not_built_in_is_refused_unless_there_is_a_connector() {
        for mode in ["require", "verify-ca", "verify-full&sslrootcert=/ca.pem"] {
            let config = PgConfig::from_url(&format!("postgres://user:hunter2@h/db?sslmode={mode}")).unwrap();

            let error = config.check().unwrap_err();

            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("feature tls of chappe-postgres, postgres-tls of chappe"), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
            config.tls(NoTls).check().unwrap();
        }
        for query in ["", "?sslmode=disable", "?sslmode=prefer"] {
            PgConfig::from_url(&format!("postgres://h/db{query}")).unwrap().check().unwrap();
        }
    }

    #[test]
    fn a_url_that_makes_no_sense_is_refused_without_showing_it() {
        for url in ["postgres://user:hunter2@h:port/db", "postgres://user:hunter2@h/db?nonsense=hunter2", "hunter2"] {
            let error = PgConfig::from_url(url).unwrap_err();

            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
