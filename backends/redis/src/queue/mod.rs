//! [`RedisQueue`], a work queue on a stream.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chappe_core::Error;
use chappe_core::backend::{Backend, Capabilities, ConsumeOptions, Depth, Queue, Settlement, Status};
use redis::Client;

mod consumer;
mod reader;
mod receipt;
mod schedule;
mod settle;
mod shared;

pub use consumer::RedisConsumer;
pub use receipt::RedisReceipt;

use self::shared::Shared;
use crate::keys::Keys;
use crate::link::Link;
use crate::{RedisAddress, RedisPublisher, RedisTopic};

/// A work queue on a stream of Redis. A handle: clones are the same queue.
///
/// # Examples
///
/// ```no_run
/// use chappe::{BoxError, Message, Server};
/// use chappe_redis::RedisQueue;
/// use tower::service_fn;
///
/// async fn on_order(order: Message) -> Result<(), BoxError> {
///     println!("{} bytes", order.body().len());
///     Ok(())
/// }
///
/// # async fn serve() -> Result<(), BoxError> {
/// let queue = RedisQueue::from_url("redis://localhost:6379?queue=orders")?;
/// Server::new(queue).concurrency(64).serve(service_fn(on_order)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RedisQueue(Arc<Shared>);

impl RedisQueue {
    /// The queue `name`, through connections of `client`: one for commands, and one for the reads of each
    /// consumer. Nothing is connected yet.
    ///
    /// All keys of the queue begin with its name in braces, or with the name as it is if it has braces of its
    /// own, so that they are in one slot of a cluster.
    #[must_use]
    pub fn new(client: &Client, name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        let keys = Keys::new(&name);
        Self::with(Arc::new(Link::new(client, format!("queue {name}"))), name, keys)
    }

    /// The queue of an [address](RedisAddress).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](chappe_core::ErrorKind::Invalid): the address makes no sense, or a key of it.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        RedisAddress::parse(url)?.queue()
    }

    fn with(link: Arc<Link>, name: Arc<str>, keys: Keys) -> Self {
        Self(Arc::new(Shared::new(link, name, keys)))
    }

    /// Sets the consumer group. All that serve one queue are to be in the same group, `chappe` by default: a
    /// message that was acknowledged is gone, for every group.
    #[must_use]
    pub fn group(self, group: impl Into<Arc<str>>) -> Self {
        self.change(|shared| shared.options.group = group.into())
    }

    /// Sets how long a fetched message is kept from others, unless it is renewed, which the server does. It is
    /// also how long a message is lost to everybody when a process dies with it. 30 seconds by default; each
    /// consumer may have another.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        self.change(|shared| shared.options.lease = lease.max(Duration::from_millis(1)))
    }

    /// Sets how long a read waits for a message before it is sent anew: 5 seconds by default, which is twelve
    /// reads a minute when there is nothing to do. A shutdown does not wait for it.
    #[must_use]
    pub fn wait(self, wait: Duration) -> Self {
        self.change(|shared| shared.options.wait = wait)
    }

    /// Publishes to the queue.
    #[must_use]
    pub fn publisher(&self) -> RedisPublisher {
        let shared = &self.0;
        let link = Arc::new(shared.link.beside(shared.link.name()));
        RedisPublisher::with(link, Arc::clone(&shared.name), shared.keys.clone())
    }

    /// A topic of the [publisher](Self::publisher) with default options.
    #[must_use]
    pub fn topic(&self) -> RedisTopic {
        self.publisher().topic()
    }

    /// The queue of the messages this one has given up. It is there without being made, and a queue like any
    /// other.
    #[must_use]
    pub fn dead_letter(&self) -> Self {
        let shared = &self.0;
        let name: Arc<str> = format!("{}:dead", shared.name).into();
        let link = Arc::new(shared.link.beside(format!("queue {name}")));
        let dead = Self::with(link, name, shared.keys.dead_letter());
        let options = shared.options.clone();
        dead.change(|shared| shared.options = options)
    }

    /// Moves the dead letters back, as messages that were never tried, and answers how many there were. What a
    /// consumer of the [dead letter](Self::dead_letter) has at hand stays.
    ///
    /// # Errors
    ///
    /// What kept it from being done. Some may have been moved; each is in one queue or the other.
    ///
    /// # Cancel safety
    ///
    /// Dropped, some have been moved.
    pub async fn redrive(&self) -> Result<u64, Error> {
        self.0.redrive().await
    }

    /// Removes what waits and what is held back, and answers how many messages that were. What is out stays
    /// out.
    ///
    /// # Errors
    ///
    /// What kept it from being done.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may or may not have been done.
    pub async fn purge(&self) -> Result<u64, Error> {
        self.0.purge().await
    }

    fn change(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        let shared = Arc::make_mut(&mut self.0);
        change(shared);
        shared.declare();
        self
    }
}

impl Backend for RedisQueue {
    fn status(&self) -> &Status {
        &self.0.link.status
    }

    fn system(&self) -> &'static str {
        crate::SYSTEM
    }

    fn destination(&self) -> &str {
        &self.0.name
    }
}

impl Queue for RedisQueue {
    type Receipt = RedisReceipt;
    type Consumer = RedisConsumer;

    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn consume(&self, options: ConsumeOptions) -> Result<RedisConsumer, Error> {
        RedisConsumer::start(Arc::clone(&self.0), options.stop, options.name.as_deref()).await
    }

    async fn settle(&self, batch: &mut [Settlement<RedisReceipt>]) -> Result<(), Error> {
        self.0.settle(batch).await
    }

    async fn depth(&self) -> Result<Depth, Error> {
        self.0.depth().await
    }

    /// Takes the consumers that have stopped out of the group, unless they have messages pending: then they
    /// stay, so that those come back.
    async fn close(&self) -> Result<(), Error> {
        self.0.remove_consumers(Duration::MAX).await
    }
}

impl fmt::Debug for RedisQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisQueue")
            .field("name", &self.0.name)
            .field("options", &self.0.options)
            .field("link", &self.0.link)
            .finish_non_exhaustive()
    }
}
