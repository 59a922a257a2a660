//! [`SqsPublisher`], which sends messages to a queue in batches.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aws_sdk_sqs::Client;
use chappe_core::backend::{
    Backend, DeadLetter, Delay, Outgoing, PublishCapabilities, PublishResult, Publisher, Status,
};
use chappe_core::{Batched, Error, ErrorKind, Message, MessageId, Published};

use crate::blob::{BlobStore, SharedBlobs};
use crate::client;
use crate::error::{self, SEND, classify};
use crate::limit::{MAX_BATCH, MAX_BYTES, MAX_DELAY};
use crate::target::Target;
use crate::wire::{Encoder, Entry};

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
    /// [`ErrorKind::Invalid`]: `url` is not the URL of a queue.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no publisher.
    #[cfg(feature = "env")]
    pub async fn from_env(url: impl AsRef<str> + Send) -> Result<Self, Error> {
        let publisher = Self::new(&client::from_env(None, None).await, url);
        publisher.0.encoder.target.check()?;
        Ok(publisher)
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
        let mut failure = sent.err();
        let rest = |failure: &mut Option<Error>| {
            failure.take().unwrap_or_else(|| Error::new(ErrorKind::Unavailable, "dead letters could not be sent"))
        };
        let settled = results.into_iter().map(|result| match result {
            PublishResult::Accepted(published) => Ok(published),
            PublishResult::Failed(error) => Err(error),
            _ => Err(rest(&mut failure)),
        });
        settled.collect()
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Sends entries in as few requests as they fit in, in order. Each is named by its place.
    async fn send(
        &self,
        entries: Vec<(usize, Entry)>,
        settle: &mut (dyn FnMut(usize, PublishResult) + Send),
    ) -> Result<(), Error> {
        let mut chunks = split(entries);
        // From the back, so that the halves of a chunk take its place.
        chunks.reverse();
        let mut failed = Failed::new(&self.0.encoder.target);
        while let Some(chunk) = chunks.pop() {
            let chunk = failed.hold_back(chunk, settle);
            match chunk.len() {
                0 => {}
                1 => {
                    for (at, entry) in chunk {
                        self.send_one(at, entry, settle, &mut failed).await?;
                    }
                }
                _ => {
                    if let Some(too_long) = self.send_batch(chunk, settle, &mut failed).await? {
                        // Our count of the bytes is wrong: smaller parts may fit.
                        let (first, second) = halves(too_long);
                        chunks.extend([second, first]);
                    }
                }
            }
        }
        Ok(())
    }

    async fn send_one(
        &self,
        at: usize,
        entry: Entry,
        settle: &mut (dyn FnMut(usize, PublishResult) + Send),
        failed: &mut Failed,
    ) -> Result<(), Error> {
        let target = &self.0.encoder.target;
        let group = entry.group.clone();
        let request = self.0.client.send_message();
        let request = request
            .queue_url(target.url())
            .message_body(entry.body)
            .set_message_attributes(entry.attributes)
            .set_message_group_id(entry.group)
            .set_message_deduplication_id(entry.deduplication_id)
            .set_delay_seconds(entry.delay);
        match Box::pin(request.send()).await {
            Ok(output) => settle(at, self.accepted(output.message_id)),
            Err(error) => {
                let error = classify(error, SEND, target);
                if !concerns_the_message(&error) {
                    return Err(self.down(error));
                }
                failed.note(group);
                settle(at, PublishResult::Failed(error));
            }
        }
        Ok(())
    }

    /// Gives back the chunk if it was too long.
    async fn send_batch(
        &self,
        chunk: Vec<(usize, Entry)>,
        settle: &mut (dyn FnMut(usize, PublishResult) + Send),
        failed: &mut Failed,
    ) -> Result<Option<Vec<(usize, Entry)>>, Error> {
        let target = &self.0.encoder.target;
        let entries = chunk.iter().map(|(at, entry)| entry.clone().into_batch_entry(*at)).collect();
        let request = self.0.client.send_message_batch().queue_url(target.url()).set_entries(Some(entries));
        let output = match Box::pin(request.send()).await {
            Ok(output) => output,
            Err(error) if error::is_batch_too_long(&error) => return Ok(Some(chunk)),
            Err(error) => {
                let error = classify(error, SEND, target);
                if !error.is_ambiguous() {
                    return Err(self.down(error));
                }
                self.0.status.down(&error);
                let (kind, text, cause) = (error.kind(), error.to_string(), Arc::new(error));
                for (at, _) in chunk {
                    let error = Error::new(kind, text.clone()).ambiguous().with_source(Arc::clone(&cause));
                    settle(at, PublishResult::Failed(error));
                }
                return Ok(None);
            }
        };
        let mut accepted: HashMap<_, _> =
            output.successful.into_iter().map(|entry| (entry.id, entry.message_id)).collect();
        let mut refused: HashMap<_, _> = output.failed.into_iter().map(|entry| (entry.id.clone(), entry)).collect();
        for (at, entry) in chunk {
            let id = at.to_string();
            if let Some(message_id) = accepted.remove(&id) {
                settle(at, self.accepted(Some(message_id)));
                continue;
            }
            let error = match refused.remove(&id) {
                Some(entry) => error::of_entry(&entry.code, entry.message(), entry.sender_fault, SEND, target),
                None => error::unanswered(SEND, target),
            };
            failed.note(entry.group);
            settle(at, PublishResult::Failed(error));
        }
        Ok(None)
    }

    fn accepted(&self, id: Option<String>) -> PublishResult {
        self.0.status.up();
        self.0.status.count_sent(1);
        PublishResult::Accepted(Published::new(id.map(MessageId::from)))
    }

    fn down(&self, error: Error) -> Error {
        self.0.status.down(&error);
        error
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

/// The groups of a FIFO queue in which a message failed: what is behind it must wait, or it would overtake.
struct Failed {
    ordered: bool,
    queue: String,
    groups: Vec<String>,
}

impl Failed {
    fn new(target: &Target) -> Self {
        Self { ordered: target.is_fifo(), queue: target.name().to_owned(), groups: Vec::new() }
    }

    fn note(&mut self, group: Option<String>) {
        self.groups.extend(group.filter(|_| self.ordered));
    }

    /// Takes out what must not be sent any more.
    fn hold_back(
        &self,
        mut chunk: Vec<(usize, Entry)>,
        settle: &mut (dyn FnMut(usize, PublishResult) + Send),
    ) -> Vec<(usize, Entry)> {
        chunk.retain(|(at, entry)| {
            let held = entry.group.as_ref().is_some_and(|group| self.groups.contains(group));
            if held {
                let text = format!("message was not sent to queue {}, as one of its key before it failed", self.queue);
                settle(*at, PublishResult::Failed(Error::new(ErrorKind::Unavailable, text)));
            }
            !held
        });
        chunk
    }
}

/// Whether another message might have fared better.
fn concerns_the_message(error: &Error) -> bool {
    error.is_ambiguous() || matches!(error.kind(), ErrorKind::Invalid | ErrorKind::TooLarge | ErrorKind::Unsupported)
}

/// Entries in order, in chunks that fit a request.
fn split(entries: Vec<(usize, Entry)>) -> Vec<Vec<(usize, Entry)>> {
    let mut chunks: Vec<Vec<_>> = Vec::new();
    let mut bytes = 0;
    for (at, entry) in entries {
        let full = chunks.last().is_none_or(|chunk| chunk.len() == MAX_BATCH || bytes + entry.bytes > MAX_BYTES);
        if full {
            chunks.push(Vec::new());
            bytes = 0;
        }
        bytes += entry.bytes;
        chunks.last_mut().expect("there is one by now").push((at, entry));
    }
    chunks
}

fn halves(mut chunk: Vec<(usize, Entry)>) -> (Vec<(usize, Entry)>, Vec<(usize, Entry)>) {
    let second = chunk.split_off(chunk.len() / 2);
    (chunk, second)
}
