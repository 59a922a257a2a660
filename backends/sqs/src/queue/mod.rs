//! [`SqsQueue`], a work queue on SQS.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use chappe_core::Error;
use chappe_core::backend::{Backend, Capabilities, ConsumeOptions, Depth, Queue, Settlement, Status};

mod consumer;
mod groups;
mod inspect;
mod poll;
mod receipt;
mod settle;
mod shared;
mod wire;

pub use consumer::SqsConsumer;
pub use receipt::SqsReceipt;

use self::poll::Poller;
use self::shared::{Options, Shared};
use crate::blob::{BlobStore, SharedBlobs};
use crate::target::Target;
use crate::wire::{Decoder, Envelope};
use crate::{SqsAddress, SqsPublisher, SqsTopic, client};

/// A work queue on SQS, standard or FIFO. A handle: clones are the same queue.
///
/// # Examples
///
/// ```no_run
/// use chappe::{BoxError, Message, Server};
/// use chappe_sqs::SqsQueue;
/// use tower::service_fn;
///
/// async fn on_order(order: Message) -> Result<(), BoxError> {
///     println!("{} bytes", order.body().len());
///     Ok(())
/// }
///
/// # async fn serve() -> Result<(), BoxError> {
/// let queue = SqsQueue::from_env("https://sqs.eu-west-1.amazonaws.com/123456789012/orders").await?;
/// Server::new(queue).concurrency(64).serve(service_fn(on_order)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SqsQueue(Arc<Shared>);

impl SqsQueue {
    /// The queue at `url`, through copies of `client` that have timeouts of their own: one for long polls,
    /// one for everything else, so that neither waits for the other.
    #[must_use]
    pub fn new(client: &Client, url: impl AsRef<str>) -> Self {
        let mut shared = Shared {
            client: client.clone(),
            control: client::repeating(client),
            target: Target::of_client(client, url.as_ref()),
            options: Options::default(),
            capabilities: Capabilities::new(),
            status: Status::new(),
            dead: None,
            blobs: None,
        };
        shared.declare();
        Self(Arc::new(shared))
    }

    /// The queue at `url`, through a client made from the environment, as all AWS tools do.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](chappe_core::ErrorKind::Invalid): `url` is not the URL of a queue, or there is no region.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no queue.
    #[cfg(feature = "env")]
    pub async fn from_env(url: impl AsRef<str> + Send) -> Result<Self, Error> {
        let queue = Self::new(&client::from_env(None, None).await, url);
        queue.0.target.check_env()?;
        Ok(queue)
    }

    /// The queue of an [address](SqsAddress), through a client made from the environment.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](chappe_core::ErrorKind::Invalid): the address makes no sense, or a key of it, or there is no region.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no queue.
    #[cfg(feature = "env")]
    pub async fn from_url(url: &str) -> Result<Self, Error> {
        let address: SqsAddress = url.parse()?;
        let client = client::from_env(address.region(), address.endpoint()).await;
        let queue = Self::at(&client, &address);
        queue.0.target.check_env()?;
        Ok(queue)
    }

    /// The queue of an [address](SqsAddress), with its options, through a copy of `client`. Region and
    /// endpoint are the client's.
    #[must_use]
    pub fn at(client: &Client, address: &SqsAddress) -> Self {
        let options = address.options();
        let queue = Self::new(client, address.queue_url()).change(|shared| {
            let defaults = &mut shared.options;
            defaults.wait = options.wait.unwrap_or(defaults.wait);
            defaults.lease = options.lease.unwrap_or(defaults.lease);
            defaults.max_polls = options.max_polls.unwrap_or(defaults.max_polls);
            defaults.ordered = options.ordered.unwrap_or(defaults.ordered);
            defaults.envelope = options.envelope.unwrap_or(defaults.envelope);
        });
        match &options.dead_letter {
            Some(name) => queue.dead_letter(address.beside(name)),
            None => queue,
        }
    }

    /// Sets how long a fetched message is kept from others, unless it is renewed, which the server does: the
    /// visibility timeout. It is also how long a message is lost to everybody when a process dies with it.
    /// Whole seconds up to 12 hours; 30 seconds by default, whatever the queue's own is.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        self.change(|shared| shared.options.lease = lease)
    }

    /// Sets how long a poll waits for a message, which is also how long a shutdown may wait for the poll.
    /// Whole seconds up to 20, which is the default: an idle queue costs three requests a minute.
    #[must_use]
    pub fn wait(self, wait: Duration) -> Self {
        self.change(|shared| shared.options.wait = wait)
    }

    /// Sets how many polls may run at once while messages come in. 16 by default; when idle it is one.
    #[must_use]
    pub fn max_polls(self, polls: usize) -> Self {
        self.change(|shared| shared.options.max_polls = polls)
    }

    /// Insists on order: consuming from a standard queue fails.
    #[must_use]
    pub fn ordered(self, ordered: bool) -> Self {
        self.change(|shared| shared.options.ordered = ordered)
    }

    /// Sends rejected messages to the queue at `url`, of the same kind as this one, with the reason. They are
    /// sent before they are deleted here, so one may be in both for a while, but never in neither.
    ///
    /// Without, the queue has no dead letter: rejected messages are tried again, until a redrive policy, if
    /// there is one, moves them by their count.
    #[must_use]
    pub fn dead_letter(self, url: impl AsRef<str>) -> Self {
        self.change(|shared| {
            let publisher = SqsPublisher::new(&shared.client, url);
            shared.dead = Some(match &shared.blobs {
                Some(blobs) => publisher.blobs(Arc::clone(&blobs.0)),
                None => publisher,
            });
        })
    }

    /// Sends rejected messages to the queue that its redrive policy names, if it has one: a look at the queue
    /// and one for the other's URL.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](chappe_core::ErrorKind::NotFound): one of the two is not there.
    /// [`ErrorKind::PermissionDenied`](chappe_core::ErrorKind::PermissionDenied): `sqs:GetQueueAttributes` or
    /// `sqs:GetQueueUrl` is missing.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no queue.
    pub async fn dead_letter_of_policy(self) -> Result<Self, Error> {
        self.0.target.check()?;
        let dead = self.0.redrive_target().await?;
        Ok(match dead {
            Some(url) => self.dead_letter(url),
            None => self,
        })
    }

    /// Says whether messages come in envelopes of SNS. By default that is found out for each.
    #[must_use]
    pub fn envelope(self, envelope: Envelope) -> Self {
        self.change(|shared| shared.options.envelope = envelope)
    }

    /// Fetches bodies from a store where a message points to one, as Amazon's extended clients and
    /// [publishers with a store](SqsPublisher::blobs) write them.
    #[must_use]
    pub fn blobs(self, blobs: Arc<dyn BlobStore>) -> Self {
        self.change(|shared| {
            shared.dead = shared.dead.take().map(|dead| dead.blobs(Arc::clone(&blobs)));
            shared.blobs = Some(SharedBlobs(blobs));
        })
    }

    /// Deletes a body from the store when its message was deleted. Off by default, as other queues may point
    /// to the same.
    #[must_use]
    pub fn delete_blobs(self, delete: bool) -> Self {
        self.change(|shared| shared.options.delete_blobs = delete)
    }

    /// Sets how long a queue that is missing all of a sudden is asked for again before serving ends. A
    /// minute by default, which is what it takes to delete a queue and make it anew.
    #[must_use]
    pub fn missing_grace(self, grace: Duration) -> Self {
        self.change(|shared| shared.options.missing_grace = grace)
    }

    /// Whether consuming begins with a look at the queue, so that a wrong URL is an error at once. It does
    /// by default, if `sqs:GetQueueAttributes` is allowed.
    #[must_use]
    pub fn inspect(self, inspect: bool) -> Self {
        self.change(|shared| shared.options.inspect = inspect)
    }

    /// The URL of the queue.
    #[must_use]
    pub fn url(&self) -> &str {
        self.0.target.url()
    }

    /// Publishes to the queue, with a store for large bodies if the queue has one.
    #[must_use]
    pub fn publisher(&self) -> SqsPublisher {
        let publisher = SqsPublisher::new(&self.0.client, self.url());
        match &self.0.blobs {
            Some(blobs) => publisher.blobs(Arc::clone(&blobs.0)),
            None => publisher,
        }
    }

    /// A topic of the [publisher](Self::publisher) with default options.
    #[must_use]
    pub fn topic(&self) -> SqsTopic {
        self.publisher().topic()
    }

    fn change(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        let shared = Arc::make_mut(&mut self.0);
        change(shared);
        shared.declare();
        self
    }
}

impl Backend for SqsQueue {
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

impl Queue for SqsQueue {
    type Receipt = SqsReceipt;
    type Consumer = SqsConsumer;

    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn consume(&self, options: ConsumeOptions) -> Result<SqsConsumer, Error> {
        self.0.check()?;
        if self.0.options.inspect {
            self.0.look().await?;
        }
        let poller = Poller {
            client: client::polling(&self.0.client, self.0.options.wait),
            decoder: Decoder {
                source: self.0.target.name().into(),
                envelope: self.0.options.envelope,
                blobs: self.0.blobs.clone(),
            },
            shared: Arc::clone(&self.0),
        };
        Ok(SqsConsumer::new(poller, options.stop, options.max_unsettled.get()))
    }

    async fn settle(&self, batch: &mut [Settlement<SqsReceipt>]) -> Result<(), Error> {
        self.0.settle_batch(batch).await
    }

    async fn depth(&self) -> Result<Depth, Error> {
        self.0.depth().await
    }
}

impl fmt::Debug for SqsQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsQueue").field("url", &self.url()).field("options", &self.0.options).finish_non_exhaustive()
    }
}
