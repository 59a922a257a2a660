//! [`Outcome`], what becomes of a message after it was handled, and the errors that carry one.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::{BoxError, Error, Published};

/// What becomes of a message after it was handled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Handled: the broker may forget it.
    Ack,
    /// Not handled: try again after the server's backoff.
    Retry,
    /// Not handled: try again after this pause.
    RetryAfter(Duration),
    /// Can never be handled: to the dead letter, with a reason. Where there is no dead letter the message
    /// is retried like any other, because nothing is discarded.
    Reject(Reason),
    /// Not handled, and not this message's fault: it goes back without blame, and the whole server starts
    /// nothing new for this long.
    Throttle(Duration),
}

/// Why a message was rejected.
pub type Reason = Arc<str>;

impl Outcome {
    /// A rejection with a reason.
    pub fn reject(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Reject(Arc::from(reason.into()))
    }

    /// What the server does with a message whose receiver failed, by the first error along the chain of
    /// sources that says so: an [`OutcomeError`] decides, an [`Error`] whose broker asked for a pause waits
    /// that long. Anything else means [`Retry`](Self::Retry).
    #[must_use]
    pub fn of_error(error: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(classified) = error.downcast_ref::<OutcomeError>() {
                return classified.outcome.clone();
            }
            if let Some(pause) = error.downcast_ref::<Error>().and_then(Error::retry_after) {
                return Self::RetryAfter(pause);
            }
            next = inner(error);
        }
        Self::Retry
    }

    /// The texts of an error and its sources, joined by colons: the reason a dead letter is given. A text
    /// that says the same as the one before is left out.
    #[must_use]
    pub fn describe(error: &(dyn StdError + 'static)) -> String {
        let mut text = error.to_string();
        let mut last = text.clone();
        let mut next = inner(error);
        while let Some(error) = next {
            let more = error.to_string();
            if more != last {
                text.push_str(": ");
                text.push_str(&more);
            }
            last = more;
            next = inner(error);
        }
        text
    }
}

/// The next error along the chain. An `io::Error` leaves out the very error it wraps, and handlers often
/// wrap into one.
fn inner<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// What a receiver may answer with: anything that says an [`Outcome`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what becomes of the message",
    label = "expected `()`, `Outcome` or `Published`",
    note = "answer `()` to acknowledge, an `Outcome` to decide, or a `Result` of one of them: any error means retry"
)]
pub trait IntoOutcome {
    /// Converts the answer.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

/// Nothing to say: handled.
impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Ack
    }
}

/// Published on: handled. This is what lets a topic be served as a receiver.
impl IntoOutcome for Published {
    fn into_outcome(self) -> Outcome {
        Outcome::Ack
    }
}

/// What a handler function may return: an [`IntoOutcome`], or a `Result` of one.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "expected `()`, `Outcome`, or a `Result` of one of them",
    note = "the error of a `Result` must convert into `BoxError`; any error means retry"
)]
pub trait IntoResult {
    /// Converts the return value.
    ///
    /// # Errors
    ///
    /// The handler's own error.
    fn into_result(self) -> Result<Outcome, BoxError>;
}

impl<T: IntoOutcome> IntoResult for T {
    fn into_result(self) -> Result<Outcome, BoxError> {
        Ok(self.into_outcome())
    }
}

impl<T: IntoOutcome, E: Into<BoxError>> IntoResult for Result<T, E> {
    fn into_result(self) -> Result<Outcome, BoxError> {
        self.map(T::into_outcome).map_err(E::into)
    }
}

/// An error that says what becomes of the message it failed on.
///
/// The server finds it anywhere along the chain of [`source`](StdError::source)s, so it may be wrapped.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use chappe_core::{Outcome, OutcomeError};
///
/// fn parse(body: &str) -> Result<u32, OutcomeError> {
///     body.parse().map_err(OutcomeError::reject)
/// }
///
/// assert!(matches!(Outcome::of_error(&parse("x").unwrap_err()), Outcome::Reject(_)));
/// ```
#[derive(Debug)]
pub struct OutcomeError {
    outcome: Outcome,
    source: BoxError,
}

impl OutcomeError {
    /// An error with an outcome of its own.
    pub fn new(outcome: Outcome, source: impl Into<BoxError>) -> Self {
        Self { outcome, source: source.into() }
    }

    /// The message can never be handled; the error's text is the reason.
    pub fn reject(source: impl Into<BoxError>) -> Self {
        let source = source.into();
        Self { outcome: Outcome::reject(Outcome::describe(source.as_ref())), source }
    }

    /// The message is to be tried again after `pause`.
    pub fn retry_after(pause: Duration, source: impl Into<BoxError>) -> Self {
        Self::new(Outcome::RetryAfter(pause), source)
    }

    /// The whole server is to start nothing new for `pause`; the message goes back without blame.
    pub fn throttle(pause: Duration, source: impl Into<BoxError>) -> Self {
        Self::new(Outcome::Throttle(pause), source)
    }

    /// What becomes of the message.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }
}

impl fmt::Display for OutcomeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.outcome {
            Outcome::Ack => "message is acknowledged in spite of an error",
            Outcome::Retry | Outcome::RetryAfter(_) => "message is to be retried",
            Outcome::Reject(_) => "message is rejected",
            Outcome::Throttle(_) => "server is to be throttled",
        })
    }
}

impl StdError for OutcomeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.source.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_found_behind_other_errors() {
        let inner = OutcomeError::retry_after(Duration::from_secs(3), "busy");
        let outer = std::io::Error::other(std::io::Error::other(inner));

        assert_eq!(Outcome::of_error(&outer), Outcome::RetryAfter(Duration::from_secs(3)));
    }

    #[test]
    fn a_broker_that_asks_for_a_pause_is_given_it() {
        let error = Error::new(crate::ErrorKind::Throttled, "slow down").with_retry_after(Duration::from_secs(2));

        assert_eq!(Outcome::of_error(&error), Outcome::RetryAfter(Duration::from_secs(2)));
    }

    #[test]
    fn an_unclassified_error_means_retry() {
        assert_eq!(Outcome::of_error(&std::io::Error::other("x")), Outcome::Retry);
    }

    #[test]
    fn results_of_handlers_keep_outcome_and_error() {
        assert_eq!(Ok::<_, BoxError>(Outcome::Retry).into_result().unwrap(), Outcome::Retry);
        assert_eq!(().into_result().unwrap(), Outcome::Ack);
        assert!(Err::<(), _>(std::fmt::Error).into_result().is_err());
    }
}
