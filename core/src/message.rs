//! [`Message`], what every receiver and every topic is called with.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Extensions;

use crate::{Attributes, Key, Lease, MessageId};

/// A message: a [`Head`], a body of any bytes, and typed extensions.
///
/// The body and the attributes are shared, so a clone costs a few reference counts, and whoever changes a
/// clone changes only that one: every attempt to handle a message sees the very same body. What settles a
/// delivery is never inside; the server keeps it.
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
#[derive(Clone, Default)]
pub struct Message {
    head: Head,
    body: Bytes,
    extensions: Extensions,
    lease: Option<Lease>,
}

/// What is known of a message besides its body.
///
/// These are plain fields, not attributes: what a broker counts and stamps never mixes with what the
/// publisher wrote, and never leaks when a message is published again.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Head {
    /// What the publisher wrote.
    pub attributes: Attributes,
    /// The broker's identifier when received; the idempotency id when published.
    pub id: Option<MessageId>,
    /// What the message is ordered by.
    pub key: Option<Key>,
    /// When the broker accepted the message.
    pub published: Option<SystemTime>,
    /// Which attempt to handle the message this is, from 1; 0 where the broker does not count.
    pub attempt: u32,
    /// How long the broker is to hold the message back after publishing.
    pub delay: Option<Duration>,
    /// When the message is no longer wanted. Carried; acting on it is a layer's business.
    pub expires: Option<SystemTime>,
    /// The queue, subscription or topic the message came from.
    pub source: Option<Arc<str>>,
}

impl Message {
    /// Creates a message with a body and nothing else. An empty body is a message too.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// Creates a message from its parts.
    #[must_use]
    pub fn from_parts(head: Head, body: Bytes, extensions: Extensions) -> Self {
        Self { head, body, extensions, lease: None }
    }

    /// Takes the message apart. The [lease](Self::lease) is left behind.
    #[must_use]
    pub fn into_parts(self) -> (Head, Bytes, Extensions) {
        (self.head, self.body, self.extensions)
    }

    /// Prepares a message for publishing: drops what belongs to the delivery it may have come from, which
    /// is its lease, attempt, source and time of publication, and the broker's id if there is an attempt
    /// or source to show that it was received.
    #[must_use]
    pub fn into_outgoing(mut self) -> Self {
        if self.head.source.take().is_some() || self.head.attempt > 0 {
            self.head.id = None;
        }
        self.head.attempt = 0;
        self.head.published = None;
        self.lease = None;
        self
    }

    /// What is known of the message besides its body.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The head, to be changed.
    pub fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }

    /// What the publisher wrote.
    #[must_use]
    pub fn attributes(&self) -> &Attributes {
        &self.head.attributes
    }

    /// The attributes, to be changed.
    pub fn attributes_mut(&mut self) -> &mut Attributes {
        &mut self.head.attributes
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Replaces the body.
    pub fn set_body(&mut self, body: impl Into<Bytes>) {
        self.body = body.into();
    }

    /// Takes the body out of the message.
    #[must_use]
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// Returns the message with `change` made to its body, as decoders do.
    #[must_use]
    pub fn map_body<B: Into<Bytes>>(mut self, change: impl FnOnce(Bytes) -> B) -> Self {
        self.body = change(std::mem::take(&mut self.body)).into();
        self
    }

    /// The broker's identifier when received; the idempotency id when published.
    #[must_use]
    pub fn id(&self) -> Option<&MessageId> {
        self.head.id.as_ref()
    }

    /// What the message is ordered by.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.head.key.as_ref()
    }

    /// Sets what the message is ordered by.
    pub fn set_key(&mut self, key: impl Into<Key>) {
        self.head.key = Some(key.into());
    }

    /// Has the broker hold the message back after publishing.
    pub fn set_delay(&mut self, delay: Duration) {
        self.head.delay = Some(delay);
    }

    /// Which attempt to handle the message this is, from 1; 0 where the broker does not count.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.head.attempt
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
    pub fn set_lease(&mut self, lease: Option<Lease>) {
        self.lease = lease;
    }

    /// The bytes of the body, names and values together, which is how the brokers count a message.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.body.len() + self.head.attributes.size_bytes()
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
        f.debug_struct("Message")
            .field("head", &self.head)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
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
        message.head_mut().id = Some("broker-1".into());
        message.head_mut().attempt = 3;
        message.head_mut().source = Some("jobs".into());
        message.head_mut().published = Some(SystemTime::UNIX_EPOCH);

        let head = message.into_outgoing().into_parts().0;

        assert_eq!((head.id, head.attempt, head.source, head.published), (None, 0, None, None));
    }

    #[test]
    fn a_fresh_message_keeps_the_id_its_publisher_chose() {
        let mut message = Message::new("x");
        message.head_mut().id = Some("order-7".into());

        assert_eq!(message.into_outgoing().id(), Some(&"order-7".into()));
    }

    #[test]
    fn a_message_stays_small_enough_to_be_moved_through_layers() {
        assert!(size_of::<Message>() <= 208, "{} bytes", size_of::<Message>());
    }
}
