//! [`RedisBus`], fan-out by `PUBLISH` and `SUBSCRIBE`.

use std::fmt;
use std::sync::Arc;

use chappe_core::backend::{Backend, Broadcast, Outgoing, PublishCapabilities, Publisher, Status, SubscribeOptions};
use chappe_core::{Batched, Error};
use redis::Client;

mod handle;
mod hub;
mod listener;
mod payload;
mod subscription;
mod topic;

pub use subscription::RedisSubscription;
pub use topic::{RedisBusPublisher, RedisBusTopic};

use self::handle::Handle;
use crate::RedisAddress;

/// A bus on a Redis server: whoever is subscribed to a topic, in whatever process, gets a copy of what is
/// published to it, and nobody settles anything. A topic is a channel of the same name.
///
/// A handle has an identity, one connection that is subscribed for all its subscriptions, and one for
/// everything else. Both are made when they are first needed, and made again when they end. Clones are the same
/// handle, so that what they publish is an [echo](SubscribeOptions::echo) to its subscriptions; another
/// [`new`](Self::new) is another participant, as another process would be.
///
/// # Examples
///
/// ```no_run
/// use chappe_core::Topic;
/// use chappe_core::backend::{Broadcast, Signal, SubscribeOptions, Subscription};
/// use chappe_redis::RedisBus;
///
/// # async fn example() -> Result<(), chappe_core::Error> {
/// let bus = RedisBus::from_url("redis://localhost:6379?topic=prices")?;
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
pub struct RedisBus(Arc<Handle>);

impl RedisBus {
    /// A bus whose [`Publisher`] publishes to `topic`, through connections of `client`. It connects when it is
    /// first used.
    #[must_use]
    pub fn new(client: &Client, topic: impl Into<Arc<str>>) -> Self {
        Self(Arc::new(Handle::new(client, topic.into())))
    }

    /// The bus of an [address](RedisAddress).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](chappe_core::ErrorKind::Invalid): the address makes no sense, or a key of it.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        RedisAddress::parse(url)?.bus()
    }

    /// Another handle to the same bus, as another process would have: with its own identity, health, counters,
    /// subscriptions and end.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::new(self.0.link.client(), Arc::clone(&self.0.topic))
    }

    /// What publishes to a topic of the bus through this handle.
    #[must_use]
    pub fn topic(&self, name: impl Into<Arc<str>>) -> RedisBusTopic {
        Batched::new(self.publisher(name))
    }

    /// What publishes batches to a topic of the bus through this handle.
    #[must_use]
    pub fn publisher(&self, name: impl Into<Arc<str>>) -> RedisBusPublisher {
        RedisBusPublisher::new(Arc::clone(&self.0), name.into())
    }

    /// How many messages came on the channels of this handle's topics that no bus has sent. They are logged,
    /// the first, the second, the fourth and so on, and otherwise ignored.
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.0.hub().ignored()
    }
}

impl Backend for RedisBus {
    fn status(&self) -> &Status {
        &self.0.link.status
    }

    fn system(&self) -> &'static str {
        crate::SYSTEM
    }

    fn destination(&self) -> &str {
        &self.0.topic
    }
}

impl Publisher for RedisBus {
    fn publish_capabilities(&self) -> &PublishCapabilities {
        &self.0.capabilities
    }

    async fn publish(&self, batch: &mut [Outgoing]) -> Result<(), Error> {
        self.0.publish(&self.0.topic, batch).await
    }
}

impl Broadcast for RedisBus {
    type Subscription = RedisSubscription;

    async fn subscribe(&self, topic: &str, options: SubscribeOptions) -> Result<RedisSubscription, Error> {
        self.0.subscribe(topic, options).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.close();
        Ok(())
    }
}

impl fmt::Debug for RedisBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBus")
            .field("topic", &self.0.topic)
            .field("status", &self.0.link.status)
            .finish_non_exhaustive()
    }
}
