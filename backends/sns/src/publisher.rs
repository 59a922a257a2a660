//! [`SnsPublisher`], which sends messages to a topic in batches.

use std::fmt;
use std::sync::Arc;

use aws_sdk_sns::Client;
#[cfg(doc)]
use chappe_core::ErrorKind;
use chappe_core::backend::{Backend, Outgoing, PublishCapabilities, PublishResult, Publisher, Status};
use chappe_core::{Batched, Error, Str};

use crate::entry::Encoder;
use crate::error::classify;
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
pub struct SnsPublisher(pub(crate) Arc<Inner>);

#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) client: Client,
    pub(crate) arn: String,
    pub(crate) encoder: Encoder,
    pub(crate) status: Status,
    capabilities: PublishCapabilities,
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

    /// What errors call it.
    pub(crate) fn thing(&self) -> String {
        format!("topic {}", self.0.arn)
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
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
