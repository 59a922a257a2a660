//! [`Message`], what every receiver and every topic is called with.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Extensions;

use crate::backend::DeadLetter;
use crate::{Attributes, Key, Lease, MessageId};

/// A message: attributes, a body of any bytes, and what the broker and this process know of it.
///
/// What the publisher wrote is shared, so a clone costs a reference count, and whoever changes a clone
/// changes only that one: every attempt to handle a message sees the very same body. What the broker counts
/// and stamps never mixes with it, and never leaks when a message is published again. What settles a
/// delivery is not inside at all; the server keeps it.
///
/// # Examples
///
/// ```
/// use chappe_core::Message;
///
/// let mut message = Message::new("hello");
/// message.attributes_mut().insert("type", "greeting");
/// message.set_key("room-1");
///
/// assert_eq!(message.body(), "hello");
/// ```
// Small on purpose: a message is moved a good twenty times on its way, and each move is a copy.
#[derive(Clone, Default)]
pub struct Message {
    content: Option<Arc<Content>>,
    extensions: Extensions,
    id: Option<MessageId>,
    source: Option<Arc<str>>,
    published: Option<Timestamp>,
    lease: Option<Lease>,
    attempt: u32,
}

/// What the publisher wrote.
#[derive(Clone)]
struct Content {
    attributes: Attributes,
    body: Bytes,
    key: Option<Key>,
    delay: Option<Duration>,
    expires: Option<SystemTime>,
}

impl Content {
    const EMPTY: Self =
        Self { attributes: Attributes::new(), body: Bytes::new(), key: None, delay: None, expires: None };
}

static EMPTY: Content = Content::EMPTY;

impl Message {
    /// Creates a message with a body and nothing else. An empty body is a message too.
    pub fn new(body: impl Into<Bytes>) -> Self {
        let mut message = Self::default();
        message.set_body(body);
        message
    }

    /// Prepares a message for publishing: drops what belongs to the delivery it may have come from, which
    /// is its lease, attempt, source and time of publication, why it was a dead letter, and the broker's
    /// id if there is a source or an attempt to show that it was received.
    #[must_use]
    #[inline]
    pub fn into_outgoing(self) -> Self {
        // Nearly always it was just made, and then it is not even looked at closely.
        let received = self.attempt > 0 || self.source.is_some() || self.published.is_some() || self.lease.is_some();
        if received || !self.extensions.is_empty() { self.without_delivery() } else { self }
    }

    fn without_delivery(mut self) -> Self {
        if self.source.take().is_some() || self.attempt > 0 {
            self.id = None;
        }
        self.attempt = 0;
        self.published = None;
        self.lease = None;
        if !self.extensions.is_empty() {
            self.extensions.remove::<DeadLetter>();
        }
        self
    }

    /// What the publisher wrote beside the body.
    #[must_use]
    pub fn attributes(&self) -> &Attributes {
        &self.content().attributes
    }

    /// The attributes, to be changed.
    pub fn attributes_mut(&mut self) -> &mut Attributes {
        &mut self.content_mut().attributes
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.content().body
    }

    /// Replaces the body.
    pub fn set_body(&mut self, body: impl Into<Bytes>) {
        let body = body.into();
        // Nothing is allocated for nothing.
        if self.content.is_some() || !body.is_empty() {
            self.content_mut().body = body;
        }
    }

    /// Takes the body out of the message.
    #[must_use]
    pub fn into_body(self) -> Bytes {
        match self.content {
            Some(content) => Arc::try_unwrap(content).map_or_else(|shared| shared.body.clone(), |own| own.body),
            None => Bytes::new(),
        }
    }

    /// Returns the message with `change` made to its body, as decoders do.
    #[must_use]
    pub fn map_body<B: Into<Bytes>>(mut self, change: impl FnOnce(Bytes) -> B) -> Self {
        let body = change(self.body().clone());
        self.set_body(body);
        self
    }

    /// What the message is ordered by.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.content().key.as_ref()
    }

    /// Sets what the message is ordered by.
    pub fn set_key(&mut self, key: impl Into<Key>) {
        self.content_mut().key = Some(key.into());
    }

    /// How long the broker is to hold the message back after publishing.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        self.content().delay
    }

    /// Has the broker hold the message back after publishing. A topic that cannot refuses the message.
    pub fn set_delay(&mut self, delay: impl Into<Option<Duration>>) {
        self.content_mut().delay = delay.into();
    }

    /// When the message is no longer wanted. Carried; acting on it is a layer's business.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.content().expires
    }

    /// Says when the message is no longer wanted.
    pub fn set_expires(&mut self, time: impl Into<Option<SystemTime>>) {
        self.content_mut().expires = time.into();
    }

    /// The broker's identifier when received; the idempotency id when published.
    #[must_use]
    pub fn id(&self) -> Option<&MessageId> {
        self.id.as_ref()
    }

    /// Sets the identifier: for a publisher the idempotency id, for a backend the broker's.
    pub fn set_id(&mut self, id: impl Into<MessageId>) {
        self.id = Some(id.into());
    }

    /// The queue, subscription or topic the message came from; `None` for one that was not received.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// For backends: says where the message came from.
    pub fn set_source(&mut self, source: impl Into<Arc<str>>) {
        self.source = Some(source.into());
    }

    /// When the broker accepted the message, where it tells.
    #[must_use]
    pub fn published(&self) -> Option<SystemTime> {
        self.published.map(Timestamp::time)
    }

    /// For backends: says when the broker accepted the message. Kept to the nanosecond, from 1970 to 2554.
    pub fn set_published(&mut self, time: SystemTime) {
        self.published = Timestamp::new(time);
    }

    /// Which attempt to handle the message this is, from 1; 0 where the broker does not count.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// For backends and servers: says which attempt this is.
    pub fn set_attempt(&mut self, attempt: u32) {
        self.attempt = attempt;
    }

    /// Typed values that travel with the message inside this process only.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The extensions, to be changed.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// The lease under which the message is being handled, where there is one.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Hands the message a lease; the server does this before it calls a receiver.
    pub fn set_lease(&mut self, lease: impl Into<Option<Lease>>) {
        self.lease = lease.into();
    }

    /// The bytes of the body, names and values together, which is how the brokers count a message.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let Content { attributes, body, .. } = self.content();
        body.len() + attributes.size_bytes()
    }

    fn content(&self) -> &Content {
        self.content.as_deref().unwrap_or(&EMPTY)
    }

    fn content_mut(&mut self) -> &mut Content {
        Arc::make_mut(self.content.get_or_insert_with(|| Arc::new(Content::EMPTY)))
    }
}

impl<B: Into<Bytes>> From<B> for Message {
    fn from(body: B) -> Self {
        Self::new(body)
    }
}

/// Shows the size of the body, never the body: a debug line must not leak what a message says.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Message");
        out.field("attributes", self.attributes()).field("body_bytes", &self.body().len());
        if let Some(id) = &self.id {
            out.field("id", id);
        }
        if let Some(key) = self.key() {
            out.field("key", key);
        }
        if let Some(source) = &self.source {
            out.field("source", source).field("attempt", &self.attempt);
        }
        out.finish_non_exhaustive()
    }
}

/// Nanoseconds since 1970, in half the room of a `SystemTime`.
#[derive(Clone, Copy)]
struct Timestamp(std::num::NonZeroU64);

impl Timestamp {
    fn new(time: SystemTime) -> Option<Self> {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        // The first nanosecond of 1970 is given up for the size.
        let nanos = since.as_secs().checked_mul(1_000_000_000)?.checked_add(since.subsec_nanos().into())?;
        std::num::NonZeroU64::new(nanos.max(1)).map(Self)
    }

    fn time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.0.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_body() {
        assert!(!format!("{:?}", Message::new("secret")).contains("secret"));
    }

    #[test]
    fn a_received_message_loses_what_belongs_to_its_delivery() {
        let mut message = Message::new("x");
        message.set_id("broker-1");
        message.set_attempt(3);
        message.set_source("jobs");
        message.set_published(SystemTime::now());
        message.extensions_mut().insert(DeadLetter::new("bad", "jobs", 3, SystemTime::now()));

        let outgoing = message.into_outgoing();

        assert_eq!((outgoing.id(), outgoing.attempt(), outgoing.source()), (None, 0, None));
        assert!(outgoing.published().is_none() && outgoing.extensions().get::<DeadLetter>().is_none());
    }

    #[test]
    fn a_fresh_message_keeps_the_id_its_publisher_chose() {
        let mut message = Message::new("x");
        message.set_id("order-7");

        assert_eq!(message.into_outgoing().id(), Some(&"order-7".into()));
    }

    #[test]
    fn a_change_to_a_clone_does_not_show_in_the_original() {
        let mut original = Message::new("body");
        original.attributes_mut().insert("a", "1");
        let mut clone = original.clone();

        clone.set_body("other");
        clone.attributes_mut().insert("a", "2");
        clone.set_key("k");

        assert_eq!((original.body(), original.attributes().get_str("a")), (&Bytes::from("body"), Some("1")));
        assert!(original.key().is_none());
    }

    #[test]
    fn the_time_of_publication_is_kept_to_the_nanosecond() {
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_789_000_000, 123_456_789);
        let mut message = Message::default();

        message.set_published(time);

        assert_eq!(message.published(), Some(time));
    }

    #[test]
    fn a_message_stays_small_enough_to_be_moved_through_layers() {
        assert!(size_of::<Message>() <= 80, "{} bytes", size_of::<Message>());
    }
}
