//! [`SnsPublisher`], which sends messages to a topic in batches.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use aws_sdk_sns::Client;
use aws_sdk_sns::operation::publish_batch::PublishBatchOutput;
use chappe_core::backend::{Backend, Outgoing, PublishCapabilities, PublishResult, Publisher, Status};
use chappe_core::{Batched, Error, ErrorKind, Key, MessageId, Published, Str};

use crate::entry::{Encoder, Entry};
use crate::error::{again, classify, of_code};
use crate::limit::{DEFAULT_MAX_BYTES, MAX_BATCH, MAX_BYTES};
use crate::{SnsAddress, address, client};

/// Publishes to a topic of SNS: [`SnsPublisher`], batched.
///
/// # Examples
///
/// ```no_run
/// use chappe_core::{Message, Topic};
/// use chappe_sns::SnsPublisher;
///
/// # async fn publish(client: &aws_sdk_sns::Client) -> Result<(), chappe_core::Error> {
/// let topic = SnsPublisher::new(client, "arn:aws:sns:eu-west-1:123456789012:orders").topic();
///
/// let mut message = Message::new(r#"{"id":7}"#);
/// message.attributes_mut().insert("type", "order.created");
/// topic.publish(message).await?;
/// # Ok(()) }
/// ```
pub type SnsTopic = Batched<SnsPublisher>;

/// The subject of a message, for subscribers by e-mail; put into its
/// [extensions](chappe_core::Message::extensions_mut). 1 to 100 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(pub String);

/// Publishes to a topic of SNS, up to ten messages in a request, with a result for each.
///
/// A message alone goes out by `Publish`, several by `PublishBatch`. A message that does not fit is refused before
/// anything is sent, and keeps no other from being published. Nothing is repeated here; the
/// [topic](Self::topic) does. On a FIFO topic a message behind one of its key that is to be repeated is not sent.
#[derive(Clone)]
pub struct SnsPublisher(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    client: Client,
    arn: String,
    encoder: Encoder,
    capabilities: PublishCapabilities,
    status: Status,
}

impl SnsPublisher {
    /// Publishes to the topic of this ARN through a copy of `client` that has timeouts of its own and leaves
    /// repeating to the [topic](Self::topic). Nothing is asked of SNS.
    ///
    /// It is taken to be FIFO if its name ends in `.fifo`, as SNS demands.
    #[must_use]
    pub fn new(client: &Client, arn: impl Into<String>) -> Self {
        let arn = arn.into();
        let encoder = Encoder::new(address::name_of(&arn), arn.ends_with(".fifo"));
        let mut capabilities = PublishCapabilities::new();
        capabilities.max_batch = MAX_BATCH;
        capabilities.max_batch_bytes = encoder.max_bytes;
        capabilities.max_message_bytes = encoder.max_bytes;
        capabilities.dedup = encoder.fifo;
        Self(Arc::new(Inner { client: client::sending(client), arn, encoder, capabilities, status: Status::new() }))
    }

    /// Publishes to the topic of this ARN through a client made from the environment, as all AWS tools do. The
    /// region is that of the ARN.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`]: it is not the ARN of a topic.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no publisher.
    #[cfg(feature = "env")]
    pub async fn from_env(arn: impl Into<String> + Send) -> Result<Self, Error> {
        let arn = arn.into();
        let region = address::check(&arn)?;
        Ok(Self::new(&client::from_env(Some(region), None).await, arn))
    }

    /// Publishes to the topic of an [address](SnsAddress), through a client made from the environment.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`]: the address makes no sense, or a key of it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no publisher.
    #[cfg(feature = "env")]
    pub async fn from_url(url: &str) -> Result<Self, Error> {
        let address: SnsAddress = url.parse()?;
        let client = client::from_env(Some(address.region()), address.endpoint()).await;
        Ok(Self::at(&client, &address))
    }

    /// Publishes to the topic of an [address](SnsAddress), with its options, through a copy of `client`. Region
    /// and endpoint are the client's.
    #[must_use]
    pub fn at(client: &Client, address: &SnsAddress) -> Self {
        let options = address.options();
        let publisher = Self::new(client, address.arn()).strict(options.strict.unwrap_or(false));
        let publisher = publisher.promote(options.promote.iter().cloned()).arrays(options.arrays.iter().cloned());
        match options.max_message_bytes {
            Some(bytes) => publisher.max_message_bytes(bytes),
            None => publisher,
        }
    }

    /// Asks the topic how large its messages may be, and takes note of it: [`max_message_bytes`] found out. Takes
    /// the permission `sns:GetTopicAttributes`.
    ///
    /// [`max_message_bytes`]: Self::max_message_bytes
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NotFound`]: there is no such topic.
    /// - [`ErrorKind::PermissionDenied`]: the credentials are missing or not allowed to ask.
    /// - [`ErrorKind::Invalid`]: the ARN is none, or there is no region.
    /// - [`ErrorKind::Throttled`], [`ErrorKind::Unavailable`]: SNS did not answer as it should.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no publisher; SNS was only asked.
    pub async fn measured(self) -> Result<Self, Error> {
        let request = self.0.client.get_topic_attributes().topic_arn(&self.0.arn);
        let output = Box::pin(request.send()).await.map_err(|error| classify(&self.thing(), error))?;
        // Told only if it was changed.
        let told = output.attributes().and_then(|attributes| attributes.get("MaximumMessageSize"));
        Ok(match told.and_then(|bytes| bytes.parse().ok()) {
            Some(bytes) => self.max_message_bytes(bytes),
            None => self.max_message_bytes(DEFAULT_MAX_BYTES),
        })
    }

    /// Sets how many bytes of body and attributes the topic takes, if its `MaximumMessageSize` is not the 256 KiB it
    /// is made with. At most 1 MiB. [`measured`](Self::measured) finds out by itself.
    #[must_use]
    pub fn max_message_bytes(self, bytes: usize) -> Self {
        self.change(|inner| {
            inner.encoder.max_bytes = bytes.min(MAX_BYTES);
            inner.capabilities.max_message_bytes = inner.encoder.max_bytes;
            inner.capabilities.max_batch_bytes = inner.encoder.max_bytes;
        })
    }

    /// Refuses messages with attributes that cannot travel as they are, instead of packing what does not fit into
    /// one attribute that only chappe reads.
    #[must_use]
    pub fn strict(self, strict: bool) -> Self {
        self.change(|inner| inner.encoder.packer = inner.encoder.packer.clone().strict(strict))
    }

    /// Names of attributes that are the last to be packed when there are more than ten, so that filter policies and
    /// consumers of other kinds see them. `traceparent` is one already.
    #[must_use]
    pub fn promote<N: Into<Str>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.change(|inner| inner.encoder.packer = inner.encoder.packer.clone().promote(names))
    }

    /// Names of attributes whose values travel as one `String.Array`, so that a filter policy matches if it does any
    /// of them. A receiver gets the JSON text of the array. The values of other names are packed but for the first.
    #[must_use]
    pub fn arrays<N: Into<Str>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.change(|inner| inner.encoder.arrays.extend(names.into_iter().map(Into::into)))
    }

    /// A topic with default [options](Batched).
    #[must_use]
    pub fn topic(&self) -> SnsTopic {
        Batched::new(self.clone())
    }

    /// The ARN of the topic.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.0.arn
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Sends entries by as many calls as their encoded sizes take.
    async fn send(&self, entries: Vec<(usize, Entry)>, batch: &mut [Outgoing]) -> Result<(), Error> {
        // Nothing overtakes an earlier message of its key that is to be published again.
        let mut held: HashSet<Key> = HashSet::new();
        let mut calls = self.calls(entries);
        calls.reverse();
        while let Some(mut call) = calls.pop() {
            call.retain(|(at, _)| {
                let entry = &mut batch[*at];
                let behind = self.0.encoder.fifo && entry.message.key().is_some_and(|key| held.contains(key));
                if behind {
                    entry.result = PublishResult::Failed(self.held());
                }
                !behind
            });
            let places: Vec<usize> = call.iter().map(|(at, _)| *at).collect();
            if let Some(error) = self.call(call, batch).await {
                // One message may be what is wrong with all of them, and our sizes may not be those of SNS.
                if places.len() > 1 && matches!(error.kind(), ErrorKind::Invalid | ErrorKind::TooLarge) {
                    let (first, second) = places.split_at(places.len() / 2);
                    calls.push(self.encoded(second, batch));
                    calls.push(self.encoded(first, batch));
                    continue;
                }
                let error = Arc::new(error);
                for at in &places {
                    batch[*at].result = PublishResult::Failed(again(&error));
                }
            }
            held.extend(places.iter().filter_map(|at| match &batch[*at].result {
                PublishResult::Failed(error) if error.is_retryable() => batch[*at].message.key().cloned(),
                _ => None,
            }));
        }
        Ok(())
    }

    /// Makes one call and tells each entry what came of it; answers what went wrong with all of them.
    async fn call(&self, mut call: Vec<(usize, Entry)>, batch: &mut [Outgoing]) -> Option<Error> {
        if call.len() > 1 {
            let places: Vec<usize> = call.iter().map(|(at, _)| *at).collect();
            let entries = call.into_iter().enumerate().map(|(id, (_, entry))| entry.into_request(id)).collect();
            let request =
                self.0.client.publish_batch().topic_arn(&self.0.arn).set_publish_batch_request_entries(Some(entries));
            // SDK futures are several KB.
            return match Box::pin(request.send()).await {
                Ok(output) => {
                    self.answered(&output, &places, batch);
                    None
                }
                Err(error) => Some(self.failed(classify(&self.thing(), error))),
            };
        }
        let (at, entry) = call.pop()?;
        let request = self
            .0
            .client
            .publish()
            .topic_arn(&self.0.arn)
            .message(entry.message)
            .set_message_attributes(entry.attributes)
            .set_subject(entry.subject)
            .set_message_group_id(entry.group)
            .set_message_deduplication_id(entry.deduplication_id);
        match Box::pin(request.send()).await {
            Ok(output) => {
                self.0.status.up();
                self.accept(&mut batch[at], output.message_id());
                None
            }
            Err(error) => Some(self.failed(classify(&self.thing(), error))),
        }
    }

    fn answered(&self, output: &PublishBatchOutput, places: &[usize], batch: &mut [Outgoing]) {
        self.0.status.up();
        for done in output.successful() {
            if let Some(at) = place(done.id(), places) {
                self.accept(&mut batch[at], done.message_id());
            }
        }
        for failed in output.failed() {
            let Some(at) = place(Some(failed.id()), places) else { continue };
            let status = if failed.sender_fault() { 400 } else { 500 };
            let error = of_code(&self.thing(), failed.code(), failed.message(), Some(status));
            batch[at].result = PublishResult::Failed(error);
        }
        for at in places {
            if batch[*at].result.is_pending() {
                let text = format!("topic {} did not say what came of the message", self.0.arn);
                batch[*at].result = PublishResult::Failed(Error::new(ErrorKind::Unavailable, text).ambiguous());
            }
        }
    }

    fn accept(&self, entry: &mut Outgoing, id: Option<&str>) {
        self.0.status.count_sent(1);
        let id = id.map(|id| MessageId::from(id.to_owned()));
        entry.result = PublishResult::Accepted(Published::new(id));
    }

    /// Takes note of a call that failed as a whole.
    fn failed(&self, error: Error) -> Error {
        if !matches!(error.kind(), ErrorKind::Invalid | ErrorKind::TooLarge | ErrorKind::Throttled) {
            self.0.status.down(&error);
        }
        error
    }

    /// What errors call it.
    fn thing(&self) -> String {
        format!("topic {}", self.0.arn)
    }

    fn held(&self) -> Error {
        let text = format!("not sent to topic {}, as an earlier message of its key was not published", self.0.arn);
        Error::new(ErrorKind::Unavailable, text)
    }

    /// Encodes what passed the encoder before.
    fn encoded(&self, places: &[usize], batch: &mut [Outgoing]) -> Vec<(usize, Entry)> {
        let mut entry = |at: usize| self.0.encoder.encode(&mut batch[at].message).expect("it was encoded before");
        places.iter().map(|at| (*at, entry(*at))).collect()
    }

    /// Divides entries so that each call is within the limits: what is checked before counts neither base64 nor
    /// the types of attributes.
    fn calls(&self, entries: Vec<(usize, Entry)>) -> Vec<Vec<(usize, Entry)>> {
        let mut calls: Vec<Vec<(usize, Entry)>> = Vec::new();
        let mut bytes = 0;
        for (at, entry) in entries {
            bytes += entry.bytes;
            match calls.last_mut() {
                Some(call) if call.len() < MAX_BATCH && bytes <= self.0.encoder.max_bytes => {
                    call.push((at, entry));
                }
                _ => {
                    bytes = entry.bytes;
                    calls.push(vec![(at, entry)]);
                }
            }
        }
        calls
    }
}

impl Backend for SnsPublisher {
    fn status(&self) -> &Status {
        &self.0.status
    }

    fn system(&self) -> &'static str {
        "aws.sns"
    }

    fn destination(&self) -> &str {
        &self.0.encoder.name
    }
}

impl Publisher for SnsPublisher {
    fn publish_capabilities(&self) -> &PublishCapabilities {
        &self.0.capabilities
    }

    async fn publish(&self, batch: &mut [Outgoing]) -> Result<(), Error> {
        let mut entries = Vec::with_capacity(batch.len());
        for (at, outgoing) in batch.iter_mut().enumerate().filter(|(_, outgoing)| outgoing.result.is_pending()) {
            match self.0.encoder.encode(&mut outgoing.message) {
                Ok(entry) => entries.push((at, entry)),
                Err(error) => outgoing.result = PublishResult::Failed(error),
            }
        }
        self.send(entries, batch).await
    }
}

impl fmt::Debug for SnsPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnsPublisher").field("arn", &self.0.arn).finish_non_exhaustive()
    }
}

/// Where the entry of this id is in the batch.
fn place(id: Option<&str>, places: &[usize]) -> Option<usize> {
    places.get(id?.parse::<usize>().ok()?).copied()
}
