//! [`PubsubPublisher`], which sends messages to a topic in batches.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chappe_core::backend::{
    Backend, DeadLetter, Delay, Outgoing, PublishCapabilities, PublishResult, Publisher, Status,
};
use chappe_core::{Batched, Error, Message, Published, Str};

mod send;

use self::send::{Entry, Sending};

use crate::PubsubClient;
use crate::address::Address;
use crate::limit::{MAX_BATCH, MAX_BYTES, REQUEST_OVERHEAD};
use crate::target::{Kind, Target};
use crate::wire::Encoder;

/// How many requests of a topic may be under way at once, if all are full.
const IN_FLIGHT: usize = 4;
/// How long a message may take with all that is repeated. Google's client takes up to ten minutes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Publishes to a topic of Pub/Sub: [`PubsubPublisher`], batched.
///
/// # Examples
///
/// ```no_run
/// use chappe_core::Topic;
/// use chappe_pubsub::PubsubPublisher;
///
/// # async fn publish() -> Result<(), chappe_core::Error> {
/// let topic = PubsubPublisher::from_url("pubsub://my-project/topics/orders").await?.topic();
/// topic.publish("hello").await?;
/// # Ok(()) }
/// ```
pub type PubsubTopic = Batched<PubsubPublisher>;

/// Sends messages to a topic of Pub/Sub, up to a thousand in a request, with a result for each.
///
/// Nothing is kept for a key, so that there may be any number of them. Nothing is repeated here, the
/// [topic](Self::topic) does; but a request that is refused is cut in halves until the message is found that it is
/// refused for, as one bad message would have all its neighbours refused. What is behind a message of its key that
/// failed is not sent.
#[derive(Clone)]
pub struct PubsubPublisher(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    client: PubsubClient,
    target: Target,
    encoder: Encoder,
    capabilities: PublishCapabilities,
    status: Status,
}

impl PubsubPublisher {
    /// Publishes to a topic: a whole name, such as `projects/my-project/topics/orders`, or its last part in the
    /// project of the client.
    #[must_use]
    pub fn new(client: &PubsubClient, topic: impl AsRef<str>) -> Self {
        Self::of(client, Target::new(Kind::Topic, topic.as_ref(), client.project_name()))
    }

    pub(crate) fn of(client: &PubsubClient, target: Target) -> Self {
        let mut capabilities = PublishCapabilities::new();
        capabilities.max_batch = MAX_BATCH;
        capabilities.max_batch_bytes = MAX_BYTES - REQUEST_OVERHEAD;
        capabilities.max_message_bytes = MAX_BYTES;
        capabilities.delay = Delay::None;
        let encoder = Encoder::new(target.name().into());
        Self(Arc::new(Inner { client: client.clone(), target, encoder, capabilities, status: Status::new() }))
    }

    /// Publishes to a topic through a client made [from the environment](PubsubClient::from_env).
    ///
    /// # Errors
    ///
    /// Those of the client, and [`ErrorKind::Invalid`](chappe_core::ErrorKind::Invalid): `topic` is no name of one.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no publisher.
    pub async fn from_env(topic: impl AsRef<str> + Send) -> Result<Self, Error> {
        let publisher = Self::new(&PubsubClient::from_env().await?, topic);
        publisher.0.target.check()?;
        Ok(publisher)
    }

    /// Publishes to the topic of a URL, by the rules of [this crate](crate#urls), through a client made from the
    /// environment.
    ///
    /// # Errors
    ///
    /// Those of the client, and [`ErrorKind::Invalid`](chappe_core::ErrorKind::Invalid): the URL makes no sense, or an
    /// option of it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no publisher.
    pub async fn from_url(url: &str) -> Result<Self, Error> {
        let address = Address::read(url, Kind::Topic)?;
        let strict = address.options.strict.unwrap_or(false);
        Ok(Self::of(&address.client().await?, address.target).strict(strict))
    }

    /// Refuses messages whose attributes Pub/Sub cannot carry as they are, instead of packing what does not fit into
    /// attributes that only chappe reads.
    #[must_use]
    pub fn strict(self, strict: bool) -> Self {
        self.change(|inner| inner.encoder.packer = inner.encoder.packer.clone().strict(strict))
    }

    /// Names of attributes that are the last to be packed when there are more than a hundred, so that filters see
    /// them. `traceparent` is one already.
    #[must_use]
    pub fn promote(self, names: impl IntoIterator<Item = impl Into<Str>>) -> Self {
        self.change(|inner| inner.encoder.packer = inner.encoder.packer.clone().promote(names))
    }

    /// Carries the order of attributes across names, which costs one of the hundred where it is not the order of
    /// their bytes. Otherwise they arrive in that order.
    #[must_use]
    pub fn keep_attribute_order(self, keep: bool) -> Self {
        self.change(|inner| inner.encoder.packer = inner.encoder.packer.clone().unordered(keep))
    }

    /// A topic with up to four full requests under way, and a minute for each message; else with default
    /// [options](Batched).
    #[must_use]
    pub fn topic(&self) -> PubsubTopic {
        Batched::new(self.clone()).max_in_flight(IN_FLIGHT).timeout(TIMEOUT)
    }

    /// The whole name of the topic.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.target.full()
    }

    /// Sends dead letters, and says what came of each.
    pub(crate) async fn bury(&self, letters: &[(&Message, DeadLetter)]) -> Vec<Result<Published, Error>> {
        let mut results: Vec<_> = letters.iter().map(|_| PublishResult::Pending).collect();
        let mut entries = Vec::new();
        for (at, (message, letter)) in letters.iter().enumerate() {
            match self.0.encoder.encode_dead(message, letter) {
                Ok(message) => entries.push(Entry { at, message }),
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
        entries: Vec<Entry>,
        settle: &mut (dyn FnMut(usize, PublishResult) + Send),
    ) -> Result<(), Error> {
        let Inner { client, target, status, .. } = &*self.0;
        Sending::new(client, target, status, settle).run(entries).await
    }
}

impl Backend for PubsubPublisher {
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

impl Publisher for PubsubPublisher {
    fn publish_capabilities(&self) -> &PublishCapabilities {
        &self.0.capabilities
    }

    async fn publish(&self, batch: &mut [Outgoing]) -> Result<(), Error> {
        self.0.target.check()?;
        let mut entries = Vec::with_capacity(batch.len());
        for (at, outgoing) in batch.iter_mut().enumerate().filter(|(_, outgoing)| outgoing.result.is_pending()) {
            match self.0.encoder.encode(&outgoing.message) {
                Ok(message) => entries.push(Entry { at, message }),
                Err(error) => outgoing.result = PublishResult::Failed(error),
            }
        }
        self.send(entries, &mut |at, result| batch[at].result = result).await
    }
}

impl fmt::Debug for PubsubPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubsubPublisher").field("topic", &self.name()).finish_non_exhaustive()
    }
}
