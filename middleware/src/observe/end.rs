//! [`End`], how a call ended, in words few enough to be labels.

use std::error::Error as StdError;
use std::io;

use chappe_core::{BoxError, Error, ErrorKind, Outcome, Published};

/// How a call ended, with all that is known of it.
#[derive(Clone, Copy, Debug)]
pub enum Ending<'a> {
    /// The topic answered with a receipt.
    Published(&'a Published),
    /// The receiver answered.
    Answered(&'a Outcome),
    /// The receiver of a batch answered, for each message in their order.
    Each(&'a [Result<Outcome, BoxError>]),
    /// The service answered with an error.
    Failed(&'a BoxError),
    /// The service panicked.
    Panicked,
    /// The future was dropped before it had an answer.
    Dropped,
}

impl<'a> Ending<'a> {
    /// How one message of a batch ended.
    pub(crate) fn of_one(result: &'a Result<Outcome, BoxError>) -> Self {
        match result {
            Ok(outcome) => Self::Answered(outcome),
            Err(error) => Self::Failed(error),
        }
    }

    /// How the call ended as a whole: a batch as the first of its messages that failed.
    pub(crate) fn end(&self) -> End {
        match self {
            Self::Published(_) => End::DONE,
            Self::Answered(outcome) => End::of_outcome(outcome),
            Self::Each(results) => {
                results.iter().map(|result| Ending::of_one(result).end()).find(End::is_error).unwrap_or(End::DONE)
            }
            Self::Failed(error) => End::of_error(&***error),
            Self::Panicked => End { outcome: OutcomeName::Retry, error: Some(ErrorType::Panic) },
            Self::Dropped => End { outcome: OutcomeName::Dropped, error: Some(ErrorType::Cancelled) },
        }
    }

    /// What was said of the failure, which may be anything, a part of the body included.
    #[cfg(feature = "trace")]
    pub(crate) fn detail(&self) -> Option<String> {
        match self {
            Self::Answered(Outcome::Reject(reason)) => Some(reason.to_string()),
            Self::Failed(error) => Some(Outcome::describe(&***error)),
            Self::Each(results) => {
                let mut failed = results.iter().map(Ending::of_one).filter(|one| one.end().is_error());
                failed.next().and_then(|one| one.detail())
            }
            _ => None,
        }
    }
}

/// How a call ended, in words few enough to be labels: what becomes of the message, and what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    outcome: OutcomeName,
    error: Option<ErrorType>,
}

impl End {
    /// How many there are, and so the most series a destination can have.
    #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
    pub(crate) const COUNT: usize = OutcomeName::COUNT * (ErrorType::COUNT + 1);

    /// Handled, or published.
    pub(crate) const DONE: Self = Self { outcome: OutcomeName::Ack, error: None };

    /// No answer though the call ended well: the server tries such a message again.
    #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
    pub(crate) const MISSING: Self = Self { outcome: OutcomeName::Retry, error: Some(ErrorType::Retry) };

    fn of_outcome(outcome: &Outcome) -> Self {
        let outcome = OutcomeName::of(outcome);
        Self { outcome, error: outcome.failure() }
    }

    fn of_error(error: &(dyn StdError + 'static)) -> Self {
        let outcome = OutcomeName::of(&Outcome::of_error(error));
        let named = match outcome {
            // Any error means that: it says nothing.
            OutcomeName::Retry => None,
            other => other.failure(),
        };
        Self { outcome, error: Some(kind(error).or(named).unwrap_or(ErrorType::Other)) }
    }

    pub(crate) fn is_error(&self) -> bool {
        self.error.is_some()
    }

    /// What becomes of the message.
    pub(crate) fn outcome(self) -> &'static str {
        self.outcome.as_str()
    }

    /// What went wrong, as OpenTelemetry's `error.type`.
    pub(crate) fn error_type(self) -> Option<&'static str> {
        self.error.map(ErrorType::as_str)
    }

    /// A number of its own below [`COUNT`](Self::COUNT).
    #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
    pub(crate) fn index(self) -> usize {
        self.outcome as usize * (ErrorType::COUNT + 1) + self.error.map_or(0, |error| error as usize + 1)
    }
}

/// What becomes of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutcomeName {
    Ack,
    Retry,
    Reject,
    Throttle,
    /// Whoever dropped the future decides, and does not say.
    Dropped,
}

impl OutcomeName {
    #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
    const COUNT: usize = Self::Dropped as usize + 1;

    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Ack => Self::Ack,
            Outcome::Reject(_) => Self::Reject,
            Outcome::Throttle(_) => Self::Throttle,
            // `Outcome` may grow; the server tries again whatever it does not know.
            _ => Self::Retry,
        }
    }

    /// What an answer is called that is no error and yet says that the message was not handled.
    fn failure(self) -> Option<ErrorType> {
        match self {
            Self::Ack => None,
            Self::Reject => Some(ErrorType::Reject),
            Self::Throttle => Some(ErrorType::Throttle),
            Self::Retry | Self::Dropped => Some(ErrorType::Retry),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Retry => "retry",
            Self::Reject => "reject",
            Self::Throttle => "throttle",
            Self::Dropped => "dropped",
        }
    }
}

/// What went wrong, as OpenTelemetry's `error.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorType {
    Retry,
    Reject,
    Throttle,
    Panic,
    Cancelled,
    Closed,
    Invalid,
    TooLarge,
    NotFound,
    PermissionDenied,
    Throttled,
    Unavailable,
    Timeout,
    Unsupported,
    LeaseLost,
    Other,
}

impl ErrorType {
    #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
    const COUNT: usize = Self::Other as usize + 1;

    fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Reject => "reject",
            Self::Throttle => "throttle",
            Self::Panic => "panic",
            Self::Cancelled => "cancelled",
            Self::Closed => "closed",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::NotFound => "not_found",
            Self::PermissionDenied => "permission_denied",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Unsupported => "unsupported",
            Self::LeaseLost => "lease_lost",
            // What the conventions say for an error without a name.
            Self::Other => "_OTHER",
        }
    }
}

/// The kind of the first error along the chain that has one.
fn kind(error: &(dyn StdError + 'static)) -> Option<ErrorType> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<Error>() {
            return Some(named(error.kind()));
        }
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return Some(ErrorType::Timeout);
        }
        next = match io.and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn named(kind: ErrorKind) -> ErrorType {
    match kind {
        ErrorKind::Closed => ErrorType::Closed,
        ErrorKind::Invalid => ErrorType::Invalid,
        ErrorKind::TooLarge => ErrorType::TooLarge,
        ErrorKind::NotFound => ErrorType::NotFound,
        ErrorKind::PermissionDenied => ErrorType::PermissionDenied,
        ErrorKind::Throttled => ErrorType::Throttled,
        ErrorKind::Unavailable => ErrorType::Unavailable,
        ErrorKind::Timeout => ErrorType::Timeout,
        ErrorKind::Unsupported => ErrorType::Unsupported,
        ErrorKind::LeaseLost => ErrorType::LeaseLost,
        _ => ErrorType::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chappe_core::OutcomeError;

    use super::*;

    fn words(ending: Ending<'_>) -> (&'static str, Option<&'static str>) {
        (ending.end().outcome(), ending.end().error_type())
    }

    fn failed(error: impl Into<BoxError>) -> (&'static str, Option<&'static str>) {
        words(Ending::Failed(&error.into()))
    }

    #[test]
    fn answers_that_do_not_acknowledge_are_errors_by_their_own_name() {
        assert_eq!(words(Ending::Answered(&Outcome::Ack)), ("ack", None));
        assert_eq!(words(Ending::Answered(&Outcome::RetryAfter(Duration::ZERO))), ("retry", Some("retry")));
        assert_eq!(words(Ending::Answered(&Outcome::reject("bad"))), ("reject", Some("reject")));
        assert_eq!(words(Ending::Answered(&Outcome::Throttle(Duration::ZERO))), ("throttle", Some("throttle")));
    }

    #[test]
    fn errors_are_called_by_their_kind_wherever_it_is_in_the_chain() {
        let error = Error::new(ErrorKind::Unavailable, "down");
        assert_eq!(failed(io::Error::other(OutcomeError::reject(error))), ("reject", Some("unavailable")));
        assert_eq!(failed(OutcomeError::reject("bad")), ("reject", Some("reject")));
        assert_eq!(failed("bad"), ("retry", Some("_OTHER")));
        assert_eq!(failed(io::Error::from(io::ErrorKind::TimedOut)), ("retry", Some("timeout")));
    }

    #[test]
    fn a_batch_ends_as_the_first_of_its_messages_that_failed() {
        let results = [Ok(Outcome::Ack), Ok(Outcome::reject("bad")), Err("worse".into())];

        assert_eq!(words(Ending::Each(&results)), ("reject", Some("reject")));
        assert_eq!(words(Ending::Each(&results[..1])), ("ack", None));
    }

    #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
    #[test]
    fn every_end_has_an_index_of_its_own_within_the_count() {
        let outcomes =
            [OutcomeName::Ack, OutcomeName::Retry, OutcomeName::Reject, OutcomeName::Throttle, OutcomeName::Dropped];
        let errors = [None, Some(ErrorType::Retry), Some(ErrorType::Panic), Some(ErrorType::Other)];
        let all = outcomes.iter().flat_map(|outcome| errors.map(|error| End { outcome: *outcome, error }.index()));
        let indexes: std::collections::BTreeSet<usize> = all.collect();

        assert_eq!(indexes.len(), outcomes.len() * errors.len());
        assert!(indexes.iter().all(|index| *index < End::COUNT));
    }
}
