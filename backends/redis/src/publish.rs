//! [`RedisPublisher`], which adds messages to a queue in batches.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chappe_core::backend::{Backend, Delay, Outgoing, PublishCapabilities, PublishResult, Publisher, Status};
use chappe_core::{Batched, Error, ErrorKind, MessageId, Published};
use redis::{Client, Pipeline, Value};

use crate::error::{PUBLISH, unreadable};
use crate::keys::Keys;
use crate::limit::{MAX_ATTRIBUTES, MAX_BATCH, MAX_BATCH_BYTES, MAX_MESSAGE_BYTES};
use crate::link::Link;
use crate::wire::{Fields, millis, number, text};
use crate::{RedisAddress, script};

/// Publishes to a queue on Redis: [`RedisPublisher`], batched.
///
/// # Examples
///
/// ```no_run
/// use chappe_core::Topic;
/// use chappe_redis::RedisPublisher;
///
/// # async fn publish() -> Result<(), chappe_core::Error> {
/// let topic = RedisPublisher::from_url("redis://localhost:6379?queue=orders")?.topic();
/// topic.publish("hello").await?;
/// # Ok(()) }
/// ```
pub type RedisTopic = Batched<RedisPublisher>;

/// Adds messages to a queue on Redis, a batch in one round trip, with a result for each.
///
/// Nothing is repeated here; the [topic](Self::topic) does.
#[derive(Clone)]
pub struct RedisPublisher(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    link: Arc<Link>,
    name: Arc<str>,
    keys: Keys,
    capabilities: PublishCapabilities,
    max_len: u64,
    window: Duration,
    replicas: Option<(u32, Duration)>,
}

impl RedisPublisher {
    /// Publishes to the queue `name` through connections of `client`.
    #[must_use]
    pub fn new(client: &Client, name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        let keys = Keys::new(&name);
        Self::with(Arc::new(Link::new(client, format!("queue {name}"))), name, keys)
    }

    /// Publishes to the queue of an [address](RedisAddress).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`]: the address makes no sense, or a key of it.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        RedisAddress::parse(url)?.publisher()
    }

    pub(crate) fn with(link: Arc<Link>, name: Arc<str>, keys: Keys) -> Self {
        let mut capabilities = PublishCapabilities::new();
        capabilities.max_batch = MAX_BATCH;
        capabilities.max_batch_bytes = MAX_BATCH_BYTES;
        capabilities.max_message_bytes = MAX_MESSAGE_BYTES;
        capabilities.attributes.max_count = MAX_ATTRIBUTES;
        capabilities.delay = Delay::Exact { max: None };
        capabilities.dedup = true;
        let window = Duration::from_secs(300);
        Self(Arc::new(Inner { link, name, keys, capabilities, max_len: 0, window, replicas: None }))
    }

    /// Refuses messages while the queue holds so many, those out and held back included: the error is
    /// [`Unavailable`](ErrorKind::Unavailable), so that the topic tries again for as long as its time lasts.
    /// No message is ever dropped for another. 0, the default, means as many as the server has memory for.
    #[must_use]
    pub fn max_len(self, messages: u64) -> Self {
        self.change(|inner| inner.max_len = messages)
    }

    /// Sets for how long a message with an [id](chappe_core::Message::id) is published once only. Five
    /// minutes by default, at least a millisecond.
    #[must_use]
    pub fn dedup_window(self, window: Duration) -> Self {
        self.change(|inner| inner.window = window.max(Duration::from_millis(1)))
    }

    /// Calls a message published only when so many replicas have it too, and fails with an
    /// [ambiguous](Error::is_ambiguous) error when they have not within `timeout`. Takes a connection of its
    /// own, as nothing else can be done on it meanwhile. None by default: what a server has acknowledged can
    /// be lost when a replica takes its place.
    #[must_use]
    pub fn wait_replicas(self, replicas: u32, timeout: Duration) -> Self {
        self.change(|inner| {
            inner.link = Arc::new(inner.link.beside(inner.link.name()));
            inner.replicas = (replicas > 0).then_some((replicas, timeout));
        })
    }

    /// Sets the largest message, body and attributes together. 16 MiB by default; Redis takes 512 MiB at most
    /// in one value, and is at its best far below that.
    #[must_use]
    pub fn max_message_bytes(self, bytes: usize) -> Self {
        self.change(|inner| {
            inner.capabilities.max_message_bytes = bytes;
            inner.capabilities.max_batch_bytes = inner.capabilities.max_batch_bytes.max(bytes);
        })
    }

    /// A topic of this publisher, with default options.
    #[must_use]
    pub fn topic(&self) -> RedisTopic {
        Batched::new(self.clone())
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl Inner {
    /// Whether a message is more than an entry to be added.
    fn is_special(&self, entry: &Outgoing) -> bool {
        self.max_len > 0 || entry.message.id().is_some() || entry.message.delay().is_some_and(|delay| !delay.is_zero())
    }

    /// Adds the plain messages in one piece.
    async fn add(&self, batch: &mut [&mut Outgoing]) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut pipeline = Pipeline::with_capacity(batch.len() + 1);
        for entry in &*batch {
            pipeline.add_command(Fields::of(&entry.message).command(&["XADD", &self.keys.stream, "*"]));
        }
        let answers = self.send(&mut pipeline, batch).await?;
        let missing = answers.1;
        for (entry, answer) in batch.iter_mut().zip(answers.0) {
            entry.result = match answer {
                Value::ServerError(error) => PublishResult::Failed(self.link.of_server(&error, PUBLISH)),
                answer => self.accept(text(answer), false, missing),
            };
        }
        Ok(())
    }

    /// Sends what is to be published, and waits for the replicas; answers what each answered, and how many
    /// replicas are missing.
    async fn send(&self, pipeline: &mut Pipeline, batch: &mut [&mut Outgoing]) -> Result<(Vec<Value>, u32), Error> {
        let mut count = pipeline.len();
        if let Some((replicas, timeout)) = self.replicas {
            pipeline.cmd("WAIT").arg(replicas).arg(millis(timeout).max(1));
            count += 1;
        }
        let mut answers = match self.link.pipeline(pipeline, count, PUBLISH).await {
            Ok(answers) if answers.len() == count => answers,
            Ok(_) => return Err(self.lost(batch, unreadable(PUBLISH, self.link.name()))),
            Err(error) if error.is_ambiguous() => return Err(self.lost(batch, error)),
            Err(error) => return Err(error),
        };
        let Some((wanted, _)) = self.replicas else { return Ok((answers, 0)) };
        let have = answers.pop().as_ref().and_then(number).and_then(|have| u32::try_from(have).ok()).unwrap_or(0);
        Ok((answers, wanted.saturating_sub(have)))
    }

    /// Publishes what needs a script.
    async fn run(&self, batch: &mut [&mut Outgoing]) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut answers = self.send(&mut self.script(batch), batch).await?;
        if matches!(answers.0.first(), Some(Value::ServerError(error)) if error.code() == "NOSCRIPT") {
            self.link.command(&script::PUBLISH.load(), PUBLISH).await?;
            answers = self.send(&mut self.script(batch), batch).await?;
        }
        let (mut answers, missing) = answers;
        let results = match answers.pop() {
            Some(Value::Array(results)) if results.len() == batch.len() => results,
            Some(Value::ServerError(error)) => {
                return Err(self.link.of_server(&error, PUBLISH));
            }
            _ => return Err(self.lost(batch, unreadable(PUBLISH, self.link.name()))),
        };
        for (entry, result) in batch.iter_mut().zip(results) {
            entry.result = self.judge(result, missing);
        }
        Ok(())
    }

    fn script(&self, batch: &[&mut Outgoing]) -> Pipeline {
        let keys = &self.keys;
        let ids: Vec<Option<String>> =
            batch.iter().map(|entry| entry.message.id().map(|id| keys.id(&id.to_str()))).collect();
        let mut all = vec![&*keys.stream, &*keys.due, &*keys.held, &*keys.mark];
        all.extend(ids.iter().map(|id| id.as_deref().unwrap_or(&keys.stream)));
        let mut command = script::PUBLISH.run(&all);
        command.arg(self.max_len).arg(millis(self.window));
        for (entry, id) in batch.iter().zip(&ids) {
            let fields = Fields::of(&entry.message);
            let delay = millis(entry.message.delay().unwrap_or_default()).min(MAX_DELAY);
            command.arg(if id.is_some() { "1" } else { "0" }).arg(delay).arg(name_of_delayed()).arg(fields.len());
            fields.write(&mut command);
        }
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(command);
        pipeline
    }

    /// What the script says of one message.
    fn judge(&self, result: Value, missing: u32) -> PublishResult {
        let Value::Array(parts) = result else {
            return PublishResult::Failed(unreadable(PUBLISH, self.link.name()));
        };
        let mut parts = parts.into_iter();
        let what = parts.next().as_ref().and_then(number);
        let said = parts.next();
        match what {
            Some(0 | 1) => self.accept(said.and_then(text), what == Some(1), missing),
            Some(2) => {
                let text = format!(
                    "queue {} is full: it holds {} messages, the limit is {}",
                    self.name,
                    said.as_ref().and_then(number).unwrap_or(self.max_len),
                    self.max_len
                );
                PublishResult::Failed(Error::new(ErrorKind::Unavailable, text))
            }
            Some(3) => PublishResult::Failed(self.link.of_script(&said.and_then(text).unwrap_or_default(), PUBLISH)),
            _ => PublishResult::Failed(unreadable(PUBLISH, self.link.name())),
        }
    }

    fn accept(&self, id: Option<String>, duplicate: bool, missing: u32) -> PublishResult {
        let Some(id) = id else { return PublishResult::Failed(unreadable(PUBLISH, self.link.name())) };
        if missing > 0 {
            let text = format!("queue {} has the message, but {missing} replicas have not confirmed it", self.name);
            return PublishResult::Failed(Error::new(ErrorKind::Unavailable, text).ambiguous());
        }
        let published = Published::new(Some(MessageId::from(id)));
        PublishResult::Accepted(if duplicate { published.duplicate() } else { published })
    }

    /// Says of messages that may have been published that nobody knows.
    fn lost(&self, batch: &mut [&mut Outgoing], error: Error) -> Error {
        for entry in batch {
            let text = format!("message may not have been published to queue {}: {error}", self.name);
            entry.result = PublishResult::Failed(Error::new(error.kind(), text).ambiguous());
        }
        error
    }
}

/// The longest delay: a thousand years of milliseconds are still exact in what a script counts with.
const MAX_DELAY: u64 = 1000 * 365 * 24 * 3600 * 1000;

impl Backend for RedisPublisher {
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

impl Publisher for RedisPublisher {
    fn publish_capabilities(&self) -> &PublishCapabilities {
        &self.0.capabilities
    }

    async fn publish(&self, batch: &mut [Outgoing]) -> Result<(), Error> {
        let (mut special, mut plain): (Vec<_>, Vec<_>) =
            batch.iter_mut().filter(|entry| entry.result.is_pending()).partition(|entry| self.0.is_special(entry));
        let added = self.0.add(&mut plain).await;
        let ran = self.0.run(&mut special).await;
        let accepted = |entry: &&mut Outgoing| matches!(entry.result, PublishResult::Accepted(_));
        let sent = plain.iter().filter(|entry| accepted(entry)).count()
            + special.iter().filter(|entry| accepted(entry)).count();
        self.0.link.status.count_sent(sent as u64);
        added.and(ran)
    }
}

impl fmt::Debug for RedisPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPublisher")
            .field("queue", &self.0.name)
            .field("link", &self.0.link)
            .finish_non_exhaustive()
    }
}

/// A name for a message that has no entry yet: the time, as in ids of entries, and chance.
fn name_of_delayed() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", since.as_millis(), fastrand::u64(1 << 60..))
}
