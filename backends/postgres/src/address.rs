//! Queues and publishers by URL.

use std::fmt::Write;
use std::time::Duration;

use chappe_core::Error;
use chappe_core::backend::Url;

use crate::{PgPublisher, PgQueue, PgStore};

/// What goes on to the client as it is.
const CLIENT: [&str; 15] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// What a URL says of a queue and of publishing to it. Each end reads all of it, so that one URL serves both.
struct Options {
    queue: String,
    lease: Option<Duration>,
    poll: Option<Duration>,
    ordered: Option<bool>,
    listen: Option<bool>,
    dead_letter: Option<String>,
    max_message: Option<usize>,
}

impl Options {
    fn read(url: &str) -> Result<(PgStore, Self), Error> {
        let mut url = Url::parse(url)?;
        let queue = url.take::<String>("queue")?;
        let (lease, poll) = (url.duration("lease")?, url.duration("poll")?);
        let (ordered, listen) = (url.take("ordered")?, url.take("listen")?);
        let (dead_letter, max_message) = (url.take("dead_letter")?, url.bytes("max_message")?);
        let store = PgStore::at(&mut url)?;
        let queue = queue.ok_or_else(|| url.invalid("it has no option queue, which names the queue"))?;
        Ok((store, Self { queue, lease, poll, ordered, listen, dead_letter, max_message }))
    }
}

impl PgStore {
    /// The store of a URL of which the options of queues were taken: what is left is `schema`, and what the
    /// client knows.
    fn at(url: &mut Url) -> Result<Self, Error> {
        let place = place(url)?;
        let schema = url.take::<String>("schema")?;
        url.finish()?;
        let store = Self::from_url(&place)?;
        match schema {
            Some(schema) => store.schema(&schema),
            None => Ok(store),
        }
    }
}

/// The place of a URL with the options that are the client's.
pub(crate) fn place(url: &mut Url) -> Result<String, Error> {
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(url.invalid("it is to begin with postgres://"));
    }
    let mut place = url.place().to_owned();
    let mut mark = '?';
    for key in CLIENT {
        if let Some(value) = url.take::<String>(key)? {
            let _ = write!(place, "{mark}{key}=");
            mark = '&';
            for byte in value.bytes() {
                let _ = match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                        write!(place, "{}", byte as char)
                    }
                    _ => write!(place, "%{byte:02X}"),
                };
            }
        }
    }
    Ok(place)
}

impl PgQueue {
    /// The queue of a URL such as `postgres://user:password@host:5432/database?queue=orders&lease=30s`.
    ///
    /// | option | |
    /// |---|---|
    /// | `queue` | its name; needed |
    /// | `schema` | where its tables are, `chappe` by default |
    /// | `lease`, `poll` | times such as `30s` or `500ms` |
    /// | `ordered`, `listen` | `true` or `false` |
    /// | `dead_letter` | the name of the queue rejected messages go to, or `none` |
    /// | `max_message` | for publishers: a size such as `64KiB` |
    ///
    /// Beside these there are those of the client, such as `connect_timeout` and `application_name`, and those of
    /// [TLS](crate::PgConfig::from_url), `sslmode` and `sslrootcert`. Nothing is connected.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`](chappe_core::ErrorKind::Invalid): the URL makes no sense, or has an option there is
    ///   not. No error has credentials in it.
    /// - [`ErrorKind::Unsupported`](chappe_core::ErrorKind::Unsupported): it asks for TLS, and the feature `tls` is
    ///   off.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        let (store, options) = Options::read(url)?;
        let mut queue = Self::new(&store, options.queue);
        queue = options.lease.into_iter().fold(queue, Self::lease);
        queue = options.poll.into_iter().fold(queue, Self::poll);
        queue = options.ordered.into_iter().fold(queue, Self::ordered);
        queue = options.listen.into_iter().fold(queue, Self::listen);
        Ok(match options.dead_letter.as_deref() {
            Some("none") => queue.without_dead_letter(),
            Some(name) => queue.dead_letter(name),
            None => queue,
        })
    }
}

impl PgPublisher {
    /// Publishes to the queue of a URL, of which [`PgQueue::from_url`] tells.
    ///
    /// # Errors
    ///
    /// As [`PgQueue::from_url`].
    pub fn from_url(url: &str) -> Result<Self, Error> {
        let (store, options) = Options::read(url)?;
        Ok(options.max_message.into_iter().fold(Self::new(&store, options.queue), Self::max_message_bytes))
    }
}

#[cfg(test)]
mod tests {
    use chappe_core::ErrorKind;
    use chappe_core::backend::{Backend, LeaseKind, Order, Publisher, Queue};

    use super::*;

    #[test]
    fn a_url_has_everything_a_queue_can_be_told() {
        let queue = PgQueue::from_url(
            "postgres://app:s%40cret@db:6543/shop?queue=orders&lease=5s&ordered=true&dead_letter=none&schema=mq\
             &connect_timeout=3&application_name=a%20b",
        )
        .unwrap();

        assert_eq!((queue.destination(), queue.store().schema_name()), ("orders", "mq"));
        assert_eq!(queue.capabilities().order, Order::LaneExclusive);
        let LeaseKind::Timed { ttl, .. } = queue.capabilities().lease else { panic!("no lease") };
        assert!(ttl.as_secs() == 5 && !queue.capabilities().dead_letter);
        assert!(format!("{queue:?}").contains("db:6543/shop") && !format!("{queue:?}").contains("cret"));
        let publisher = PgPublisher::from_url("postgresql://h/db?queue=q&max_message=64KiB&lease=5s").unwrap();
        assert_eq!(publisher.publish_capabilities().max_message_bytes, 65_536);
    }

    #[test]
    #[cfg(not(feature = "tls"))]
    fn a_url_that_asks_for_tls_is_refused_where_there_is_none() {
        let error = PgQueue::from_url("postgres://app:hunter2@db/shop?queue=q&sslmode=require").unwrap_err();

        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("postgres-tls of chappe"), "{error}");
    }

    #[test]
    #[cfg(feature = "tls")]
    fn a_url_that_asks_for_tls_is_taken() {
        let queue = PgQueue::from_url("postgres://app:hunter2@db/shop?queue=q&sslmode=require").unwrap();
        let missing =
            PgQueue::from_url("postgres://app:hunter2@db/shop?queue=q&sslmode=verify-full&sslrootcert=%2Fno%20where");

        assert_eq!(queue.destination(), "q");
        let missing = missing.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Invalid);
        assert!(missing.to_string().contains("sslrootcert /no where cannot be read"), "{missing}");
    }

    #[test]
    fn a_url_with_what_nobody_knows_is_refused_without_showing_secrets() {
        for url in [
            "postgres://app:hunter2@db/shop",
            "postgres://app:hunter2@db/shop?queue=q&leese=hunter2",
            "postgres://app:hunter2@db/shop?queue=q&lease=hunter2",
            "postgres://app:hunter2@db/shop?queue=q&schema=No-Name",
            "postgres://app:hunter2@db/shop?queue=q&connect_timeout=hunter2",
            "mysql://app:hunter2@db/shop?queue=q",
        ] {
            let error = PgQueue::from_url(url).unwrap_err();

            assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
