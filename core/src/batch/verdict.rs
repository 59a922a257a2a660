//! What becomes of a message after a call to the publisher.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::PublishResult;
use crate::{Error, ErrorKind, Published};

/// The pauses before a message is published again, unless a broker asks for a longer one.
const PAUSES: crate::Backoff = crate::Backoff::exponential(Duration::from_millis(50), Duration::from_secs(1));

/// How a call to the publisher ended.
pub(super) enum Called {
    Done,
    Failed(Arc<Error>),
    Panicked,
}

impl Called {
    pub(super) fn new(caught: Result<Result<(), Error>, Box<dyn Any + Send>>) -> Self {
        match caught {
            Ok(Ok(())) => Self::Done,
            Ok(Err(error)) => Self::Failed(Arc::new(error)),
            Err(_) => {
                tracing::error!(target: "chappe::batch", "publisher panicked");
                Self::Panicked
            }
        }
    }
}

/// What is to be done about one message.
pub(super) enum Verdict {
    Answer(Result<Published, Error>),
    Retry(Error),
}

impl Verdict {
    /// Judges the result of one message by how its call ended; `dedup` says that the broker stores it only
    /// once, however often it is published.
    pub(super) fn new(result: PublishResult, called: &Called, dedup: bool) -> Self {
        let error = match (result, called) {
            (PublishResult::Accepted(receipt), _) => return Self::Answer(Ok(receipt)),
            (PublishResult::Failed(error), _) => error,
            (PublishResult::Pending, Called::Failed(error)) => copy(error),
            (PublishResult::Pending, Called::Done) => {
                let text = "publisher did not say what came of the message";
                return Self::Answer(Err(Error::new(ErrorKind::Other, text).ambiguous()));
            }
            (PublishResult::Pending, Called::Panicked) => {
                return Self::Answer(Err(Error::new(ErrorKind::Other, "publisher panicked").ambiguous()));
            }
        };
        if error.is_retryable() && (dedup || !error.is_ambiguous()) {
            Self::Retry(error)
        } else {
            Self::Answer(Err(error))
        }
    }
}

/// How a message has fared so far.
pub(super) struct Trial {
    /// When its time is over.
    pub(super) deadline: Instant,
    failures: u32,
    /// One of the failures may have been none.
    ambiguous: bool,
    last: Option<Error>,
}

impl Trial {
    pub(super) fn until(deadline: Instant) -> Self {
        Self { deadline, failures: 0, ambiguous: false, last: None }
    }

    /// Takes note of a failure that may be repeated, and answers when; or with the error, if the message's
    /// time is over by then.
    pub(super) fn retry(&mut self, error: Error, backoff: Backoff) -> Result<Instant, Error> {
        self.failures += 1;
        self.ambiguous |= error.is_ambiguous();
        let due = backoff.due(self.failures, error.retry_after());
        if due >= self.deadline {
            return Err(error);
        }
        self.last = Some(error);
        Ok(due)
    }

    /// Marks the last of several errors as ambiguous if one of them was.
    pub(super) fn conclude(&self, result: Result<Published, Error>) -> Result<Published, Error> {
        result.map_err(|error| if self.ambiguous { error.ambiguous() } else { error })
    }

    /// The error of a message whose time is over.
    pub(super) fn timed_out(&mut self) -> Error {
        let error = Error::new(ErrorKind::Timeout, "message was not published in its time");
        match self.last.take() {
            Some(last) => error.with_source(last),
            None => error,
        }
    }
}

/// When to try again after a call: at one time for all of its messages, so that they stay together.
#[derive(Clone, Copy)]
pub(super) struct Backoff {
    now: Instant,
    /// From 0.5 to 1.
    jitter: f64,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { now: Instant::now(), jitter: 0.5 + 0.5 * fastrand::f64() }
    }

    /// When to try again after so many failures in a row: twice as far off each time, and not before the
    /// broker wants it.
    pub(super) fn due(self, failures: u32, asked: Option<Duration>) -> Instant {
        self.now + PAUSES.bound(failures).mul_f64(self.jitter).max(asked.unwrap_or_default())
    }
}

/// The same error once more, for another message of the call that failed.
fn copy(error: &Arc<Error>) -> Error {
    let mut copy = Error::new(error.kind(), error.to_string()).retryable(error.is_retryable());
    if error.is_ambiguous() {
        copy = copy.ambiguous();
    }
    if let Some(pause) = error.retry_after() {
        copy = copy.with_retry_after(pause);
    }
    if error.source().is_some() {
        copy = copy.with_source(Source(Arc::clone(error)));
    }
    copy
}

/// The source of an error that is shared.
#[derive(Debug)]
struct Source(Arc<Error>);

impl Source {
    fn get(&self) -> &(dyn StdError + 'static) {
        self.0.source().expect("only made of errors that have a source")
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.get(), f)
    }
}

impl StdError for Source {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.get().source()
    }
}
