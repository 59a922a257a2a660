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
#[derive(Clone, Debug)]
pub struct Correlation {
    /// `None` where the story begins with the cause, whose id becomes text only when it is written.
    id: Option<Str>,
    cause: Option<MessageId>,
}

impl Correlation {
    /// Begins a story that no message led to.
    pub fn new(id: impl Into<Str>) -> Self {
        Self { id: Some(id.into()), cause: None }
    }

    /// Says which message is being handled.
    #[must_use]
    pub fn caused_by(self, id: impl Into<MessageId>) -> Self {
        Self { id: Some(self.id()), cause: Some(id.into()) }
    }

    /// What a message that is being handled hands on; `None` for one with neither a correlation id nor an id.
    #[must_use]
    pub fn of(message: &Message) -> Option<Self> {
        let id = message.attributes().get_str(CORRELATION_ID).filter(|id| !id.is_empty());
        match (id, message.id()) {
            (None, None) => None,
            (id, cause) => Some(Self { id: id.map(|id| id.to_owned().into()), cause: cause.cloned() }),
        }
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
        match (&self.id, &self.cause) {
            (Some(id), _) => id.clone(),
            (None, Some(cause)) => cause.to_str(),
            (None, None) => Str::default(),
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
            attributes.append(CORRELATION_ID, self.id());
        }
        if let Some(cause) = &self.cause {
            attributes.insert(CAUSATION_ID, cause.to_str());
        }
    }
}

/// Equal when both ids are, however they came about.
impl PartialEq for Correlation {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id() && self.cause == other.cause
    }
}

impl Eq for Correlation {}
