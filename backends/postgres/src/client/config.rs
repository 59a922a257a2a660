//! [`PgConfig`], how to connect.

use std::fmt;
use std::time::Duration;

use chappe_core::{Error, ErrorKind};
use tokio_postgres::config::Host;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Config, NoTls, Socket};

use super::drive::{Connector, connector};

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
        Self { config, connector: connector(NoTls) }
    }

    /// Connects by a URL or a string of `key=value` pairs, as `psql` takes them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`]: the URL makes no sense.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        // Its errors name keys, never values.
        let config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            let text = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            Error::new(ErrorKind::Invalid, format!("not a PostgreSQL URL: {text}"))
        })?;
        Ok(Self::new(&config))
    }

    /// Connects with TLS, by the `sslmode` of the configuration.
    #[must_use]
    pub fn tls<T>(mut self, tls: T) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send + 'static,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        self.connector = connector(tls);
        self
    }

    /// Names the connections in `pg_stat_activity`.
    #[must_use]
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.config.application_name(name);
        self
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
    fn a_url_that_makes_no_sense_is_refused_without_showing_it() {
        for url in ["postgres://user:hunter2@h:port/db", "postgres://user:hunter2@h/db?nonsense=hunter2", "hunter2"] {
            let error = PgConfig::from_url(url).unwrap_err();

            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
