//! [`RedisAddress`], a queue or a bus as a URL.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chappe_core::backend::Url;
use chappe_core::{Error, ErrorKind};
use redis::Client;
#[cfg(feature = "tls")]
use redis::{ConnectionAddr, TlsCertificates};

use crate::{RedisBus, RedisPublisher, RedisQueue};

/// Where a queue or a bus is, as a URL.
///
/// ```text
/// redis://user:password@host:6379/0?queue=orders&group=workers&lease=30s
/// redis://host?topic=prices
/// ```
///
/// The path is the number of the database. `rediss` is for TLS, with the feature `tls` (`redis-tls` of `chappe`):
/// the server's certificate is checked by the authorities of the system, or of `root_cert`.
///
/// | key | | default |
/// |---|---|---|
/// | `queue` | the name of the queue | none |
/// | `topic` | the name of the topic of a bus | none |
/// | `group` | [consumer group](RedisQueue::group) | `chappe` |
/// | `lease` | [lease](RedisQueue::lease) | `30s` |
/// | `wait` | [how long a read waits](RedisQueue::wait) | `5s` |
/// | `max_len` | [most messages in the queue](RedisPublisher::max_len) | none |
/// | `dedup_window` | [how long an id is remembered](RedisPublisher::dedup_window) | `5m` |
/// | `root_cert` | for `rediss`: a file of certificates in PEM of the authorities to trust | the system's |
/// | `wait_replicas` | [replicas that must have a message](RedisPublisher::wait_replicas), within a second | none |
///
/// Other keys are errors. Neither `Display` nor `Debug` shows user and password.
#[derive(Clone)]
pub struct RedisAddress {
    client: Client,
    shown: String,
    queue: Option<Arc<str>>,
    topic: Option<Arc<str>>,
    group: Option<String>,
    lease: Option<Duration>,
    wait: Option<Duration>,
    max_len: Option<u64>,
    dedup_window: Option<Duration>,
    wait_replicas: Option<u32>,
}

impl RedisAddress {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`]: it is not a URL of Redis, or has a key or a value it cannot have.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut url = Url::parse(text)?;
        let shown = url.to_string();
        let invalid = |wrong: &str| Error::new(ErrorKind::Invalid, format!("{shown} is not an address: {wrong}"));
        match url.scheme() {
            "redis" => {}
            "rediss" if cfg!(feature = "tls") => {}
            "rediss" => {
                return Err(invalid("rediss needs TLS, which is the feature tls of chappe-redis, redis-tls of chappe"));
            }
            _ => return Err(invalid("it is to begin with redis:// or rediss://")),
        }
        if url.host().is_empty() {
            return Err(invalid("it has no host"));
        }
        match url.segments() {
            [] => {}
            [database] if database.parse::<i64>().is_ok() => {}
            _ => return Err(invalid("its path is to be the number of a database")),
        }
        let client = Client::open(url.place()).map_err(|_| invalid("the client cannot read it"))?;
        let client = match url.take::<PathBuf>("root_cert")? {
            Some(path) => trusting(&client, &path).map_err(|wrong| invalid(&wrong))?,
            None => client,
        };
        let address = Self {
            client,
            queue: url.take::<String>("queue")?.map(Into::into),
            topic: url.take::<String>("topic")?.map(Into::into),
            group: url.take("group")?,
            lease: url.duration("lease")?,
            wait: url.duration("wait")?,
            max_len: url.take("max_len")?,
            dedup_window: url.duration("dedup_window")?,
            wait_replicas: url.take("wait_replicas")?,
            shown: shown.clone(),
        };
        url.finish()?;
        match (&address.queue, &address.topic) {
            (Some(name), None) | (None, Some(name)) if !name.is_empty() => Ok(address),
            (Some(_), Some(_)) => Err(invalid("it names a queue and a topic, one is allowed")),
            _ => Err(invalid("it names neither a queue nor a topic, as in ?queue=orders")),
        }
    }

    /// The client it says to use.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn queue(&self) -> Result<RedisQueue, Error> {
        let mut queue = RedisQueue::new(&self.client, self.queue_name()?);
        if let Some(group) = &self.group {
            queue = queue.group(group.as_str());
        }
        if let Some(lease) = self.lease {
            queue = queue.lease(lease);
        }
        if let Some(wait) = self.wait {
            queue = queue.wait(wait);
        }
        Ok(queue)
    }

    pub(crate) fn publisher(&self) -> Result<RedisPublisher, Error> {
        let mut publisher = RedisPublisher::new(&self.client, self.queue_name()?);
        if let Some(messages) = self.max_len {
            publisher = publisher.max_len(messages);
        }
        if let Some(window) = self.dedup_window {
            publisher = publisher.dedup_window(window);
        }
        if let Some(replicas) = self.wait_replicas {
            publisher = publisher.wait_replicas(replicas, Duration::from_secs(1));
        }
        Ok(publisher)
    }

    pub(crate) fn bus(&self) -> Result<RedisBus, Error> {
        match &self.topic {
            Some(topic) => Ok(RedisBus::new(&self.client, Arc::clone(topic))),
            None => Err(self.invalid("it names a queue, a bus has a topic, as in ?topic=prices")),
        }
    }

    fn queue_name(&self) -> Result<Arc<str>, Error> {
        match &self.queue {
            Some(queue) => Ok(Arc::clone(queue)),
            None => Err(self.invalid("it names the topic of a bus, a queue is wanted, as in ?queue=orders")),
        }
    }

    fn invalid(&self, wrong: &str) -> Error {
        Error::new(ErrorKind::Invalid, format!("{} cannot be used: {wrong}", self.shown))
    }
}

/// A client that trusts the authorities of a file alone.
#[cfg(feature = "tls")]
fn trusting(client: &Client, path: &Path) -> Result<Client, String> {
    let info = client.get_connection_info();
    if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        return Err("root_cert is for rediss".to_owned());
    }
    let pem = std::fs::read(path).map_err(|error| format!("root_cert {} cannot be read: {error}", path.display()))?;
    let trusted = TlsCertificates { client_tls: None, root_cert: Some(pem) };
    Client::build_with_tls(info.clone(), trusted)
        .map_err(|error| format!("root_cert {} cannot be used: {error}", path.display()))
}

#[cfg(not(feature = "tls"))]
fn trusting(_: &Client, _: &Path) -> Result<Client, String> {
    Err("root_cert is for rediss, which needs TLS".to_owned())
}

impl FromStr for RedisAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisAddress")
            .field("url", &self.shown)
            .field("queue", &self.queue)
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}
