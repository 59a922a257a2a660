//! [`SqsPublisher`], which sends messages to a queue in batches.

use std::fmt;
use std::sync::Arc;

use aws_sdk_sqs::Client;
use chappe_core::backend::{
    Backend, DeadLetter, Delay, Outgoing, PublishCapabilities, PublishResult, Publisher, Status,
};
use chappe_core::{Batched, Error, Message, Published};

mod send;

use self::send::Sending;

use crate::blob::{BlobStore, SharedBlobs};
use crate::limit::{MAX_BATCH, MAX_BYTES, MAX_DELAY};
use crate::target::Target;
use crate::wire::{Encoder, Entry};
use crate::{SqsAddress, client};

/// Publishes to an SQS queue: [`SqsPublisher`], batched.
///
/// # Examples
///
/// ```no_run
/// use chappe_core::Topic;
/// use chappe_sqs::SqsPublisher;
///
/// # async fn publish(client: &aws_sdk_sqs::Client) -> Result<(), chappe_core::Error> {
/// let topic = SqsPublisher::new(client, "https://sqs.eu-west-1.amazonaws.com/123456789012/orders").topic();
/// topic.publish("hello").await?;
/// # Ok(()) }
/// ```
pub type SqsTopic = Batched<SqsPublisher>;

/// Sends messages to an SQS queue, up to ten in a request, with a result for each.
///
/// A message alone goes out by `SendMessage`, several by `SendMessageBatch`. Nothing is repeated here; the
/// [topic](Self::topic) does. In a FIFO queue a message behind one of its key that failed is not sent.
#[derive(Clone)]
pub struct SqsPublisher(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    client: Client,
    encoder: Encoder,
    capabilities: PublishCapabilities,
    status: Status,
}

impl SqsPublisher {
    /// Publishes to the queue at `url` through a copy of `client` that has timeouts of its own and leaves
    /// repeating to the topic.
    #[must_use]
    pub fn new(client: &Client, url: impl AsRef<str>) -> Self {
        let target = Target::of_client(client, url.as_ref());
        let mut capabilities = PublishCapabilities::new();
        capabilities.max_batch = MAX_BATCH;
        capabilities.max_batch_bytes = MAX_BYTES;
        capabilities.max_message_bytes = MAX_BYTES;
        capabilities.dedup = target.is_fifo();
        capabilities.delay = if target.is_fifo() { Delay::None } else { Delay::Exact { max: Some(MAX_DELAY) } };
        let encoder = Encoder::new(target);
        Self(Arc::new(Inner { client: client::sending(client), encoder, capabilities, status: Status::new() }))
    }

    /// Publishes to the queue at `url` through a client made from the environment, as all AWS tools do.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](chappe_core::ErrorKind::Invalid): `url` is not the URL of a queue, or there is no
    /// region.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no publisher.
    #[cfg(feature = "env")]
    pub async fn from_env(url: impl AsRef<str> + Send) -> Result<Self, Error> {
        let publisher = Self::new(&client::from_env(None, None).await, url);
        publisher.0.encoder.target.check_env()?;
        Ok(publisher)
    }

    /// Publishes to the queue of an [address](SqsAddress), through a client made from the environment.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](chappe_core::ErrorKind::Invalid): the address makes no sense, or a key of it, or there
    /// is no region.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no publisher.
    #[cfg(feature = "env")]
    pub async fn from_url(url: &str) -> Result<Self, Error> {
        let address: SqsAddress = url.parse()?;
        let client = client::from_env(address.region(), address.endpoint()).await;
        let publisher = Self::at(&client, &address);
        publisher.0.encoder.target.check_env()?;
        Ok(publisher)
    }

    /// Publishes to the queue of an [address](SqsAddress), with its options, through a copy of `client`.
    /// Region and endpoint are the client's.
    #[must_use]
    pub fn at(client: &Client, address: &SqsAddress) -> Self {
        let options = address.options();
        let publisher = Self::new(client, address.queue_url()).strict(options.strict.unwrap_or(false));
        match options.max_message_bytes {
            Some(bytes) => publisher.max_message_bytes(bytes),
            None => publisher,
        }
    }

    /// Refuses messages whose attributes SQS cannot carry as they are, instead of packing what does not fit
    /// into one attribute that only chappe reads.
    #[must_use]
    pub fn strict(self, strict: bool) -> Self {
        self.change(|inner| inner.encoder.packer = inner.encoder.packer.clone().strict(strict))
    }

    /// Names of attributes that are the last to be packed when there are more than ten, so that consumers of
    /// other kinds see them. `traceparent` is one already.
    #[must_use]
    pub fn promote(self, names: impl IntoIterator<Item = impl Into<chappe_core::Str>>) -> Self {
        self.change(|inner| inner.encoder.packer = inner.encoder.packer.clone().promote(names))
    }

    /// Carries the order of attributes across names, which costs one of the ten where it is not the order
    /// of their bytes. Otherwise they arrive in that order.
    #[must_use]
    pub fn keep_attribute_order(self, keep: bool) -> Self {
        self.change(|inner| inner.encoder.packer = inner.encoder.packer.clone().unordered(keep))
    }

    /// Sets the `MaximumMessageSize` of the queue, if it is less than 1 MiB, which is also the most.
    #[must_use]
    pub fn max_message_bytes(self, bytes: usize) -> Self {
        self.change(|inner| {
            inner.encoder.max_bytes = bytes.min(MAX_BYTES);
            if inner.encoder.blobs.is_none() {
                inner.capabilities.max_message_bytes = inner.encoder.max_bytes;
            }
        })
    }

    /// Keeps bodies that are too large for the queue in a store, and sends a pointer that Amazon's extended
    /// clients read as well.
    #[must_use]
    pub fn blobs(self, blobs: Arc<dyn BlobStore>) -> Self {
        self.change(|inner| {
            inner.encoder.blobs = Some(SharedBlobs(blobs));
            inner.capabilities.max_message_bytes = usize::MAX;
            inner.capabilities.max_batch_bytes = usize::MAX;
        })
    }

    /// A topic with default [options](Batched).
    #[must_use]
    pub fn topic(&self) -> SqsTopic {
        Batched::new(self.clone())
    }

    /// The URL of the queue.
    #[must_use]
    pub fn url(&self) -> &str {
        self.0.encoder.target.url()
    }

    /// Sends dead letters, and says what came of each.
    pub(crate) async fn bury(&self, letters: &[(&Message, DeadLetter)]) -> Vec<Result<Published, Error>> {
        let mut results: Vec<_> = letters.iter().map(|_| PublishResult::Pending).collect();
        let mut entries = Vec::new();
        for (at, (message, letter)) in letters.iter().enumerate() {
            match self.0.encoder.encode_dead(message, letter).await {
                Ok(entry) => entries.push((at, entry)),
                Err(error) => results[at] = PublishResult::Failed(error),
            }
        }
        let sent = self.send(entries, &mut |at, result| results[at] = result).await;
        results.into_iter().map(|result| result.conclude(&sent)).collect()
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    async fn send(
        &self,
        entries: Vec<(usize, Entry)>,
        settle: &mut (dyn FnMut(usize, PublishResult) + Send),
    ) -> Result<(), Error> {
        let Inner { client, encoder, status, .. } = &*self.0;
        Sending::new(client, &encoder.target, status, settle).run(entries).await
    }
}

impl Backend for SqsPublisher {
    fn status(&self) -> &Status {
        &self.0.status
    }

    fn system(&self) -> &'static str {
        crate::SYSTEM
    }

    fn destination(&self) -> &str {
        self.0.encoder.target.name()
    }
}

impl Publisher for SqsPublisher {
    fn publish_capabilities(&self) -> &PublishCapabilities {
        &self.0.capabilities
    }

    async fn publish(&self, batch: &mut [Outgoing]) -> Result<(), Error> {
        self.0.encoder.target.check()?;
        let mut entries = Vec::with_capacity(batch.len());
        for (at, outgoing) in batch.iter_mut().enumerate().filter(|(_, outgoing)| outgoing.result.is_pending()) {
            match self.0.encoder.encode(&mut outgoing.message).await {
                Ok(entry) => entries.push((at, entry)),
                Err(error) => outgoing.result = PublishResult::Failed(error),
            }
        }
        self.send(entries, &mut |at, result| batch[at].result = result).await
    }
}

impl fmt::Debug for SqsPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsPublisher").field("url", &self.url()).finish_non_exhaustive()
    }
}
