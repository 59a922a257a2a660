//! [`MemoryBus`], fan-out in this process.

use std::fmt;
use std::sync::Arc;

use chappe_core::Error;
use chappe_core::backend::{
    Backend, Broadcast, Outgoing, PublishCapabilities, PublishResult, Publisher, Status, SubscribeOptions,
};

mod hub;
mod line;
mod subscription;
mod topic;

pub use subscription::MemorySubscription;
pub use topic::{BusPublish, MemoryBusTopic};

use hub::Handle;

/// A bus in this process: every subscriber of a topic gets a copy, and nobody settles anything.
///
/// A handle stands for a process that takes part: it has its own health, counters and
/// [echo](SubscribeOptions::echo). Clones are the same handle; [`fork`](Self::fork) makes another on the
/// same bus.
///
/// # Examples
///
/// ```
/// use chappe_core::Topic;
/// use chappe_core::backend::{Broadcast, Signal, SubscribeOptions, Subscription};
/// use chappe_memory::MemoryBus;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), chappe_core::Error> {
/// let bus = MemoryBus::new("prices");
/// let mut subscription = bus.subscribe("prices", SubscribeOptions::new()).await?;
///
/// bus.topic("prices").publish("EUR 1.07").await?;
///
/// let mut signals = Vec::new();
/// subscription.recv(10, &mut signals).await?;
/// assert!(matches!(&signals[0], Signal::Message(message) if message.body() == "EUR 1.07"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryBus(Arc<Handle>);

impl MemoryBus {
    /// Creates a bus with one handle, whose [`Publisher`] publishes to `topic`.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>) -> Self {
        Self(Arc::new(Handle::new(topic.into(), Arc::default())))
    }

    /// Another handle on the same bus, as another process would have: with its own health, counters,
    /// subscriptions and end.
    #[must_use]
    pub fn fork(&self) -> Self {
        self.fork_to(Arc::clone(&self.0.topic))
    }

    /// As [`fork`](Self::fork), with another topic that its [`Publisher`] publishes to.
    #[must_use]
    pub fn fork_to(&self, topic: impl Into<Arc<str>>) -> Self {
        Self(Arc::new(Handle::new(topic.into(), Arc::clone(self.0.hub()))))
    }

    /// What publishes to a topic of the bus through this handle.
    #[must_use]
    pub fn topic(&self, name: impl Into<Arc<str>>) -> MemoryBusTopic {
        MemoryBusTopic::new(Arc::clone(&self.0), name.into())
    }

    /// Cuts this handle's connection, or restores it. While it is cut, publishing fails with
    /// [`Unavailable`](chappe_core::ErrorKind::Unavailable) and its subscriptions get nothing. When it is
    /// restored a new epoch begins, the subscriptions go on behind a
    /// [`Gap`](chappe_core::backend::Signal::Gap), and reconnect callbacks are called. Saying the same
    /// again does nothing.
    pub fn set_healthy(&self, healthy: bool) {
        self.0.set_healthy(healthy);
    }

    /// How many subscriptions a topic has, those of all handles together.
    #[must_use]
    pub fn subscribers(&self, topic: &str) -> usize {
        self.0.hub().subscribers(topic)
    }
}

impl Backend for MemoryBus {
    fn status(&self) -> &Status {
        &self.0.status
    }

    fn system(&self) -> &'static str {
        "memory"
    }

    fn destination(&self) -> &str {
        &self.0.topic
    }
}

impl Publisher for MemoryBus {
    fn publish_capabilities(&self) -> &PublishCapabilities {
        &self.0.publish
    }

    async fn publish(&self, batch: &mut [Outgoing]) -> Result<(), Error> {
        for entry in batch.iter_mut().filter(|entry| entry.result.is_pending()) {
            // A clone, so that the entry is intact should this future be dropped while it waits.
            let published = BusPublish::new(self.0.publish(&self.0.topic, entry.message.clone())).await;
            entry.result = match published {
                Ok(published) => PublishResult::Accepted(published),
                Err(error) => PublishResult::Failed(error),
            };
        }
        Ok(())
    }
}

impl Broadcast for MemoryBus {
    type Subscription = MemorySubscription;

    async fn subscribe(&self, topic: &str, options: SubscribeOptions) -> Result<MemorySubscription, Error> {
        let line = self.0.subscribe(topic, &options)?;
        Ok(MemorySubscription::new(line, options.stop))
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.close();
        Ok(())
    }
}

impl fmt::Debug for MemoryBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBus")
            .field("topic", &self.0.topic)
            .field("status", &self.0.status)
            .finish_non_exhaustive()
    }
}
