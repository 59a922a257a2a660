//! [`Failure`], what the error handler is told.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::Event;
use crate::{Message, Outcome};

/// What went wrong with an event, told before its message is settled.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The event; `None` for a message that is none.
    pub event: Option<Event>,
    /// The message, as it came.
    pub message: Message,
    /// What the handler failed with, the text of its panic, or what it asked for instead of an acknowledgement.
    pub error: Arc<dyn StdError + Send + Sync>,
    /// What becomes of the message, unless the error handler says otherwise. Nothing it says undoes a panic.
    pub outcome: Outcome,
    /// Whether there is no further attempt: the message is rejected, or has had its
    /// [attempts](super::ConsumeLayer::max_attempts).
    pub is_last_attempt: bool,
}

/// Says all but what is in the event.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempt = self.message.attempt();
        let last = if self.is_last_attempt { ", the last" } else { "" };
        match &self.event {
            Some(event) => write!(f, "event {} {:?} failed at attempt {attempt}{last}: ", event.id, event.name)?,
            None => write!(f, "message failed at attempt {attempt}{last}: ")?,
        }
        f.write_str(&Outcome::describe(self.error.as_ref()))
    }
}

/// An error that was shown to the error handler, on its way to the server.
pub(super) struct Shown(pub(super) Arc<dyn StdError + Send + Sync>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The error itself is the source, where what it says of the outcome is found.
impl StdError for Shown {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.0.as_ref())
    }
}

pub(super) type Handling = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// The error handler, with its type erased.
#[derive(Clone)]
pub(super) struct ErrorHandler(Arc<dyn Fn(Failure) -> Handling + Send + Sync>);

impl ErrorHandler {
    pub(super) fn new<F>(handler: impl Fn(Failure) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        Self(Arc::new(move |failure| Box::pin(handler(failure))))
    }

    pub(super) fn call(&self, failure: Failure) -> Handling {
        (self.0)(failure)
    }
}

impl fmt::Debug for ErrorHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ErrorHandler")
    }
}
