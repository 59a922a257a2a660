//! [`Performed`], what came of a message that was [performed](super::perform).

use std::fmt;
use std::time::Duration;

use chappe_core::{BoxError, Cancelled, Outcome};

use crate::server::instance::End;

/// What came of a message that was [performed](super::perform()).
///
/// The assertions return it again, so that they can be chained, and panic with what was there.
#[derive(Debug)]
#[must_use = "look at what came of it, or assert it"]
pub struct Performed {
    settled: Settled,
    failure: Option<Failure>,
}

/// How the server would settle it.
#[derive(Debug)]
enum Settled {
    By(Outcome),
    /// Its handler was cancelled by the shutdown: it goes back without blame.
    Released,
    /// Its lease was lost: whatever the handler said, nothing is told to the queue.
    Forgotten,
}

#[derive(Debug)]
enum Failure {
    Error(BoxError),
    Panic(String),
    Timeout(Duration),
}

impl Performed {
    pub(super) fn new(end: End<Outcome>, cancelled: Option<Cancelled>) -> Self {
        let (outcome, failure) = match end {
            End::Answer(Ok(outcome)) => (Some(outcome), None),
            End::Answer(Err(error)) => (Some(Outcome::of_error(&*error)), Some(Failure::Error(error))),
            End::Panic(text) => (Some(Outcome::Retry), Some(Failure::Panic(text))),
            End::Timeout(timeout) => (Some(Outcome::Retry), Some(Failure::Timeout(timeout))),
            End::Abort => (None, None),
        };
        let settled = match outcome {
            _ if cancelled == Some(Cancelled::LeaseLost) => Settled::Forgotten,
            Some(outcome) => Settled::By(outcome),
            None => Settled::Released,
        };
        Self { settled, failure }
    }

    /// The outcome the message is settled by, before the server's limit of attempts is looked at. `None` if
    /// it is settled by none: its lease was lost, or its handler was cancelled by a shutdown.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.settled {
            Settled::By(outcome) => Some(outcome),
            Settled::Released | Settled::Forgotten => None,
        }
    }

    /// What went wrong, as the server logs it and gives it to the dead letter.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure.as_ref().map(|failure| match failure {
            Failure::Error(error) => Outcome::describe(&**error),
            Failure::Panic(text) => format!("receiver panicked: {text}"),
            Failure::Timeout(timeout) => format!("receiver took longer than {timeout:?}"),
        })
    }

    /// The receiver's error, to be looked into.
    #[must_use]
    pub fn into_error(self) -> Option<BoxError> {
        match self.failure {
            Some(Failure::Error(error)) => Some(error),
            _ => None,
        }
    }

    /// Checks that the message is acknowledged.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[track_caller]
    pub fn assert_acked(&self) -> &Self {
        self.check("acknowledged", matches!(self.outcome(), Some(Outcome::Ack)))
    }

    /// Checks that the message is tried again, after the server's backoff or a pause of its own.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[track_caller]
    pub fn assert_retried(&self) -> &Self {
        self.check("retried", matches!(self.outcome(), Some(Outcome::Retry | Outcome::RetryAfter(_))))
    }

    /// Checks that the message is tried again after exactly this pause.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[track_caller]
    pub fn assert_retried_after(&self, pause: Duration) -> &Self {
        let retried = matches!(self.outcome(), Some(Outcome::RetryAfter(after)) if *after == pause);
        self.check(format_args!("retried after {pause:?}"), retried)
    }

    /// Checks that the message is rejected to the dead letter for a reason with this in it.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[track_caller]
    pub fn assert_rejected(&self, part: &str) -> &Self {
        let rejected = matches!(self.outcome(), Some(Outcome::Reject(reason)) if reason.contains(part));
        self.check(format_args!("rejected because of {part:?}"), rejected)
    }

    /// Checks that the message goes back without blame and the whole server is throttled.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[track_caller]
    pub fn assert_throttled(&self) -> &Self {
        self.check("throttled", matches!(self.outcome(), Some(Outcome::Throttle(_))))
    }

    /// Checks that the message goes back without blame, as its handler was cancelled by a shutdown.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[track_caller]
    pub fn assert_released(&self) -> &Self {
        self.check("released", matches!(self.settled, Settled::Released))
    }

    /// Checks that the queue is told nothing, as the lease was lost.
    ///
    /// # Panics
    ///
    /// If it is not so.
    #[track_caller]
    pub fn assert_lease_lost(&self) -> &Self {
        self.check("not settled, its lease lost", matches!(self.settled, Settled::Forgotten))
    }

    /// Checks that the [failure](Self::failure), which is an error, a panic or a timeout, has this in it.
    ///
    /// # Panics
    ///
    /// If there is no failure, or another.
    #[track_caller]
    pub fn assert_error(&self, part: &str) -> &Self {
        let fits = self.failure().is_some_and(|failure| failure.contains(part));
        self.check(format_args!("failed with {part:?}"), fits)
    }

    #[track_caller]
    fn check(&self, expected: impl fmt::Display, is_so: bool) -> &Self {
        assert!(is_so, "expected the message to be {expected}, it is {self}");
        self
    }
}

impl fmt::Display for Performed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.settled {
            Settled::By(Outcome::Ack) => f.write_str("acknowledged")?,
            Settled::By(Outcome::Retry) => f.write_str("retried")?,
            Settled::By(Outcome::RetryAfter(pause)) => write!(f, "retried after {pause:?}")?,
            Settled::By(Outcome::Reject(reason)) => write!(f, "rejected because of {:?}", &**reason)?,
            Settled::By(Outcome::Throttle(pause)) => write!(f, "throttled for {pause:?}")?,
            Settled::By(other) => write!(f, "{other:?}")?,
            Settled::Released => f.write_str("released")?,
            Settled::Forgotten => f.write_str("not settled, its lease lost")?,
        }
        match self.failure() {
            Some(failure) => write!(f, " ({failure})"),
            None => Ok(()),
        }
    }
}
