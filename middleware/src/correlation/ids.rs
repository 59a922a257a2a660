//! [`Correlation`], the ids that what is published meanwhile will carry.

use std::cell::RefCell;

use chappe_core::{Message, MessageId, Str};

use super::{CAUSATION_ID, CORRELATION_ID, Scope};
use crate::context::Place;

thread_local!(pub(super) static CURRENT: Place<Correlation> = const { RefCell::new(None) });

/// The story that is going on, and the message being handled in it.
///
/// # Examples
///
/// ```
/// use chappe_middleware::correlation::Correlation;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // Where a story begins: at an HTTP request, for example.
/// let request = Correlation::new("request-7");
/// request.scope(async {
///     assert_eq!(Correlation::current().unwrap().id(), "request-7");
/// }).await;
/// assert!(Correlation::current().is_none());
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correlation {
    id: Id,
    cause: Option<MessageId>,
}

/// The id of a message becomes text only when it is written.
#[derive(Clone, Debug)]
enum Id {
    Text(Str),
    Message(MessageId),
}

impl Correlation {
    /// Begins a story that no message led to.
    pub fn new(id: impl Into<Str>) -> Self {
        Self { id: Id::Text(id.into()), cause: None }
    }

    /// Says which message is being handled.
    #[must_use]
    pub fn caused_by(mut self, id: impl Into<MessageId>) -> Self {
        self.cause = Some(id.into());
        self
    }

    /// What a message that is being handled hands on; `None` for one with neither a correlation id nor an id.
    #[must_use]
    pub fn of(message: &Message) -> Option<Self> {
        let cause = message.id().cloned();
        let id = match message.attributes().get_str(CORRELATION_ID) {
            Some(id) if !id.is_empty() => Id::Text(id.to_owned().into()),
            _ => Id::Message(cause.clone()?),
        };
        Some(Self { id, cause })
    }

    /// What holds where this is called: in a receiver behind an
    /// [`AdoptCorrelationLayer`](super::AdoptCorrelationLayer), or within a [scope](Self::scope).
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// The correlation id.
    #[must_use]
    pub fn id(&self) -> Str {
        match &self.id {
            Id::Text(text) => text.clone(),
            Id::Message(id) => id.to_str(),
        }
    }

    /// The id of the message being handled, which what is published meanwhile has as its causation id.
    #[must_use]
    pub fn cause(&self) -> Option<&MessageId> {
        self.cause.as_ref()
    }

    /// Has this hold whenever `future` is polled, such as in a task of its own.
    pub fn scope<F>(self, future: F) -> Scope<F> {
        Scope::new(future, Some(self))
    }

    /// Writes the ids on a message that is about to be published.
    pub(super) fn stamp(&self, message: &mut Message) {
        let has_id = message.attributes().contains(CORRELATION_ID);
        if has_id && self.cause.is_none() {
            return;
        }
        let attributes = message.attributes_mut();
        if !has_id {
            attributes.insert(CORRELATION_ID, self.id());
        }
        if let Some(cause) = &self.cause {
            attributes.insert(CAUSATION_ID, cause.to_str());
        }
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::Message(one), Self::Message(other)) => one == other,
            (Self::Text(text), Self::Message(id)) | (Self::Message(id), Self::Text(text)) => *text == id.to_str(),
        }
    }
}

impl Eq for Id {}
