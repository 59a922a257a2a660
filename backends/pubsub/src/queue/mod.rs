//! [`PubsubQueue`], a work queue on a subscription.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chappe_core::Error;
use chappe_core::backend::{Backend, Capabilities, ConsumeOptions, Queue, Settlement, Status};
use tokio::time::timeout;

mod consumer;
mod pump;
mod receipt;
mod settle;
mod shared;
mod stock;
mod tally;
mod wire;

pub use consumer::PubsubConsumer;
pub use receipt::PubsubReceipt;

use self::shared::Shared;
use crate::address::Address;
use crate::target::{Kind, Target};
use crate::{PubsubClient, PubsubPublisher};

/// How long closing waits until streams that were stopped have ended.
const CLOSE: Duration = Duration::from_secs(3);

/// A work queue on a subscription of Pub/Sub. A handle: clones are the same queue.
///
/// # Examples
///
/// ```no_run
/// use chappe::{BoxError, Message, Server};
/// use chappe_pubsub::PubsubQueue;
/// use tower::service_fn;
///
/// async fn on_order(order: Message) -> Result<(), BoxError> {
///     println!("{} bytes", order.body().len());
///     Ok(())
/// }
///
/// # async fn serve() -> Result<(), BoxError> {
/// let queue = PubsubQueue::from_env("projects/my-project/subscriptions/orders").await?;
/// Server::new(queue).concurrency(64).serve(service_fn(on_order)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PubsubQueue(Arc<Shared>);

impl PubsubQueue {
    /// A subscription: a whole name, such as `projects/my-project/subscriptions/orders`, or its last part in the
    /// project of the client.
    #[must_use]
    pub fn new(client: &PubsubClient, subscription: impl AsRef<str>) -> Self {
        Self::of(client, Target::new(Kind::Subscription, subscription.as_ref(), client.project_name()))
    }

    fn of(client: &PubsubClient, target: Target) -> Self {
        Self(Arc::new(Shared::new(client, target)))
    }

    /// A subscription, through a client made [from the environment](PubsubClient::from_env).
    ///
    /// # Errors
    ///
    /// Those of the client, and [`ErrorKind::Invalid`](chappe_core::ErrorKind::Invalid): it is no name of one.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no queue.
    pub async fn from_env(subscription: impl AsRef<str> + Send) -> Result<Self, Error> {
        let queue = Self::new(&PubsubClient::from_env().await?, subscription);
        queue.0.target.check()?;
        Ok(queue)
    }

    /// The subscription of a URL with its options, by the rules of [this crate](crate#urls), through a client made
    /// from the environment.
    ///
    /// # Errors
    ///
    /// Those of the client, and [`ErrorKind::Invalid`](chappe_core::ErrorKind::Invalid): the URL makes no sense, or
    /// an option of it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no queue.
    pub async fn from_url(url: &str) -> Result<Self, Error> {
        let address = Address::read(url, Kind::Subscription)?;
        let given = &address.options;
        let dead = given.dead_letter.as_ref().map(|name| address.target.beside(Kind::Topic, name));
        let queue = Self::of(&address.client().await?, address.target.clone()).change(|shared| {
            let options = &mut shared.options;
            options.lease = given.lease.unwrap_or(options.lease);
            options.max_hold = given.max_hold.unwrap_or(options.max_hold);
            options.max_bytes = given.max_bytes.unwrap_or(options.max_bytes);
            options.ordered = given.ordered.unwrap_or(options.ordered);
            options.inspect = given.inspect.unwrap_or(options.inspect);
            options.missing_grace = given.missing_grace.unwrap_or(options.missing_grace);
            shared.dead = dead.map(|dead| PubsubPublisher::of(&shared.client, dead));
        });
        queue.0.check()?;
        Ok(queue)
    }

    /// Sets how long a delivered message is kept from others, unless it is renewed, which the server does: the
    /// acknowledgement deadline of the stream. It is also how long a message is lost to everybody when a process dies
    /// with it. Whole seconds from 10 to 600; a minute by default, whatever the subscription's own is.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        self.change(|shared| shared.options.lease = lease)
    }

    /// Sets how long a message is held in all, however often its lease is renewed. An hour by default, as with
    /// Google's own clients.
    #[must_use]
    pub fn max_hold(self, time: Duration) -> Self {
        self.change(|shared| shared.options.max_hold = time)
    }

    /// Sets how many bytes of messages may be out or wait here. 64 MiB by default.
    #[must_use]
    pub fn max_bytes(self, bytes: usize) -> Self {
        self.change(|shared| shared.options.max_bytes = bytes)
    }

    /// Keeps the order of keys: one message of a key is handed out at a time, and one that is tried again comes before
    /// those behind it. The subscription has to have message ordering, or consuming fails.
    ///
    /// A message that is tried again waits here rather than with Pub/Sub, which would deliver what is behind it. So
    /// its dead-letter policy does not count these attempts; the server does, and a
    /// [dead letter](Self::dead_letter) takes what has failed too often.
    #[must_use]
    pub fn ordered(self, ordered: bool) -> Self {
        self.change(|shared| shared.options.ordered = ordered)
    }

    /// Sends rejected messages to a topic, with the reason. They are sent before they are acknowledged here, so one
    /// may be in both for a while, but never in neither. A whole name or its last part, as with
    /// [publishers](PubsubPublisher::new). The topic needs a subscription, or Pub/Sub drops what it is sent.
    ///
    /// Without, the queue has no dead letter: rejected messages are tried again, until a dead-letter policy, if there
    /// is one, forwards them by their count.
    #[must_use]
    pub fn dead_letter(self, topic: impl AsRef<str>) -> Self {
        self.change(|shared| {
            let project = shared.target.full().split('/').nth(1).map(str::to_owned);
            let target = Target::new(Kind::Topic, topic.as_ref(), project.as_deref());
            shared.dead = Some(PubsubPublisher::of(&shared.client, target));
        })
    }

    /// Sets how long a subscription that is missing all of a sudden is asked for again before serving ends. A minute
    /// by default, which is what it takes to delete one and make it anew.
    #[must_use]
    pub fn missing_grace(self, grace: Duration) -> Self {
        self.change(|shared| shared.options.missing_grace = grace)
    }

    /// Whether consuming begins with a look at the subscription, so that a wrong name is an error at once. It does by
    /// default, if `pubsub.subscriptions.get` is allowed.
    #[must_use]
    pub fn inspect(self, inspect: bool) -> Self {
        self.change(|shared| shared.options.inspect = inspect)
    }

    /// The whole name of the subscription.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.target.full()
    }

    fn change(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        let shared = Arc::make_mut(&mut self.0);
        change(shared);
        shared.declare();
        self
    }
}

impl Backend for PubsubQueue {
    fn status(&self) -> &Status {
        &self.0.status
    }

    fn system(&self) -> &'static str {
        crate::SYSTEM
    }

    fn destination(&self) -> &str {
        self.0.target.name()
    }
}

impl Queue for PubsubQueue {
    type Receipt = PubsubReceipt;
    type Consumer = PubsubConsumer;

    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn consume(&self, options: ConsumeOptions) -> Result<PubsubConsumer, Error> {
        self.0.check()?;
        if self.0.options.inspect {
            self.0.look().await?;
        }
        Ok(PubsubConsumer::start(&self.0, options))
    }

    async fn settle(&self, batch: &mut [Settlement<PubsubReceipt>]) -> Result<(), Error> {
        self.0.settle_batch(batch).await
    }

    /// Waits for streams that were stopped, so that what they still brought is given back.
    async fn close(&self) -> Result<(), Error> {
        self.0.pumps.close();
        if timeout(CLOSE, self.0.pumps.wait()).await.is_err() {
            tracing::debug!(subscription = self.0.target.name(), "a stream has yet to end");
        }
        self.0.pumps.reopen();
        Ok(())
    }
}

impl fmt::Debug for PubsubQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubsubQueue")
            .field("subscription", &self.name())
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}
