//! [`PgBus`], fan-out by `LISTEN` and `NOTIFY`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chappe_core::backend::{Backend, Broadcast, Outgoing, PublishCapabilities, Publisher, Status, SubscribeOptions};
use chappe_core::{Batched, Error};

mod address;
mod channel;
mod handle;
mod hub;
mod line;
mod listener;
mod publish;
mod spill;
mod subscription;
mod topic;
mod wire;

pub use subscription::PgSubscription;
pub use topic::{PgBusPublisher, PgBusTopic};

use crate::{PgConfig, PgStore};
use handle::{Handle, Options};
use publish::Target;

/// How long large messages are kept.
const SPILL_RETENTION: Duration = Duration::from_secs(300);

/// A bus in a PostgreSQL database: whoever is subscribed to a topic, in whatever process, gets a copy of
/// what is published to it, and nobody settles anything.
///
/// A handle has an identity, one connection that listens for all its subscriptions, and one for everything
/// else. Both are made when they are first needed, and made again when they end. Clones are the same handle,
/// so that what they publish is an [echo](SubscribeOptions::echo) to its subscriptions;
/// [`fork`](Self::fork) makes another, as another process would.
///
/// | | |
/// |---|---|
/// | delivery | at most once, to whoever is subscribed in the same database; publishing to nobody succeeds |
/// | order | what a handle publishes to a topic comes in that order |
/// | what is missed | [`Gap`](chappe_core::backend::Signal::Gap) after a reconnect, where a publisher's messages have a hole, and for a large message that was deleted or may not be read; [`Lagged`](chappe_core::backend::Signal::Lagged) with the exact number for a slow subscriber |
/// | size | 16 MiB. What is longer than a notification, about 5.9 kB, goes through a table that is not logged; what comes behind it on its topic waits until it is fetched |
/// | content | body, attributes, id, key and times as published; a message without an id has one that is the same for every subscriber |
/// | expired messages | are not handed out, and counted as dropped |
/// | slow subscribers | [`Overflow`](chappe_core::backend::Overflow), each with a buffer of its own; the socket is always read, so none holds up the server or another. Publishers of other processes cannot be made to wait: with `Block` up to 16 MiB of messages are held here until there is room or the time is over |
/// | outages | a session that is silent is noticed within 15 seconds; after every reconnect there are a new epoch, a `Gap`, and the callbacks of [`Status`] |
/// | `subscribe` | resolves when the server has confirmed that it listens, and fails with the first attempt to connect that does |
/// | channels | the topic itself if it is up to 63 letters, digits and `_-.:/`, else `chappe-` and a hash. What others notify there is [ignored](Self::ignored) |
/// | idle load | six statements a minute on the session that listens |
///
/// A server that is full of notifications nobody has taken refuses more with
/// [`Throttled`](chappe_core::ErrorKind::Throttled).
///
/// # Examples
///
/// ```no_run
/// use chappe_core::Topic;
/// use chappe_core::backend::{Broadcast, Signal, SubscribeOptions, Subscription};
/// use chappe_postgres::{PgBus, PgStore};
///
/// # async fn example() -> Result<(), chappe_core::Error> {
/// let store = PgStore::from_url("postgres://app:secret@db.example/app")?;
/// let bus = PgBus::new(&store, "prices");
/// let mut subscription = bus.subscribe("prices", SubscribeOptions::new()).await?;
///
/// bus.topic("prices").publish("EUR 1.07").await?;
///
/// let mut signals = Vec::new();
/// subscription.recv(10, &mut signals).await?;
/// assert!(matches!(&signals[0], Signal::Message(message) if message.body() == "EUR 1.07"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PgBus(Arc<Handle>, Target);

impl PgBus {
    /// The bus of a database, whose [`Publisher`] publishes to `topic`. It connects when it is first used,
    /// within a runtime of tokio.
    ///
    /// It needs none of the tables of a store, only its own for [large messages](Self::create_spill_table).
    #[must_use]
    pub fn new(store: &PgStore, topic: impl Into<Arc<str>>) -> Self {
        let (topic, store) = (topic.into(), store.clone());
        Self::with(Options { topic, store, direct: None, spill_retention: SPILL_RETENTION })
    }

    /// Listens on a connection of its own kind. Needed where the other leads through a pooler that hands out
    /// sessions by transaction, such as PgBouncer in its transaction mode: what a session listens to is lost
    /// there, and so subscribing is refused. Like all options, this makes it another handle.
    #[must_use]
    pub fn direct(self, config: PgConfig) -> Self {
        self.change(|options| options.direct = Some(config))
    }

    /// Keeps messages that are too large for a notification for this long, five minutes by default. A
    /// subscriber that has not fetched one by then has a [`Gap`](chappe_core::backend::Signal::Gap) instead.
    /// They are deleted by those who publish such messages, now and then.
    #[must_use]
    pub fn spill_retention(self, retention: Duration) -> Self {
        self.change(|options| options.spill_retention = retention)
    }

    /// Another handle on the same bus, with an identity, connections, health, counters, subscriptions and an
    /// end of its own.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::with(self.0.options.clone())
    }

    /// What publishes to a topic of the bus through this handle, in batches.
    #[must_use]
    pub fn topic(&self, name: impl Into<Arc<str>>) -> PgBusTopic {
        Batched::new(self.publisher(name))
    }

    /// What publishes batches to a topic of the bus through this handle.
    #[must_use]
    pub fn publisher(&self, name: impl Into<Arc<str>>) -> PgBusPublisher {
        PgBusPublisher::new(Arc::clone(&self.0), Target::new(name.into()))
    }

    /// Makes the table for large messages, `bus_spill` in the schema of the store, and the schema,
    /// unless they are there. Needed only where those who publish may not make them themselves, as they do
    /// with their first large message: publishers take the right to insert, select and delete, subscribers to
    /// select.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::PermissionDenied`](chappe_core::ErrorKind::PermissionDenied): not allowed to connect,
    ///   or to create a table.
    /// - [`ErrorKind::Closed`](chappe_core::ErrorKind::Closed): the bus is closed.
    /// - [`ErrorKind::Unavailable`](chappe_core::ErrorKind::Unavailable),
    ///   [`ErrorKind::Timeout`](chappe_core::ErrorKind::Timeout): the server does not answer.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the table may or may not have been made.
    pub async fn create_spill_table(&self) -> Result<(), Error> {
        self.0.check()?;
        let session = self.0.link.session().await?;
        self.0.table.create(&session, &self.1.topic).await
    }

    /// How many notifications came on the channels of this handle's topics that no bus has sent. They are
    /// logged, the first, the second, the fourth and so on, and otherwise ignored.
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.0.hub().ignored()
    }

    fn change(self, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = self.0.options.clone();
        change(&mut options);
        Self::with(options)
    }

    fn with(options: Options) -> Self {
        let target = Target::new(Arc::clone(&options.topic));
        Self(Arc::new(Handle::new(options)), target)
    }
}

impl Backend for PgBus {
    fn status(&self) -> &Status {
        self.0.status()
    }

    fn system(&self) -> &'static str {
        crate::SYSTEM
    }

    fn destination(&self) -> &str {
        &self.1.topic
    }
}

impl Publisher for PgBus {
    fn publish_capabilities(&self) -> &PublishCapabilities {
        &self.0.capabilities
    }

    async fn publish(&self, batch: &mut [Outgoing]) -> Result<(), Error> {
        self.0.publish(&self.1, batch).await
    }
}

impl Broadcast for PgBus {
    type Subscription = PgSubscription;

    async fn subscribe(&self, topic: &str, options: SubscribeOptions) -> Result<PgSubscription, Error> {
        self.0.subscribe(topic, options).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.close().await;
        Ok(())
    }
}

impl fmt::Debug for PgBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgBus").field("topic", &self.1.topic).field("status", self.0.status()).finish_non_exhaustive()
    }
}
