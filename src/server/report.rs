//! How serving ended: [`Report`] and [`ServeError`].

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use chappe_core::{Error, MessageId};

use super::Metrics;

/// What a server did, told when it has ended.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Everything that was counted.
    pub metrics: Metrics,
    /// The messages whose handlers were cancelled at the deadline; they went back to their queue.
    pub aborted: Vec<MessageId>,
    /// The messages whose settlement could not be brought to the broker before the end; they are delivered
    /// again when their lease ends, handled or not.
    pub unsettled: Vec<MessageId>,
    /// How long it took from the shutdown to the end.
    pub drain: Duration,
    /// How many settlements were given up after the shutdown was asked for.
    pub(super) given_up: u64,
}

impl Report {
    /// Whether every handler ran to its end, and every settlement of the shutdown reached the broker.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.metrics.aborted == 0 && self.given_up == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Metrics { acked, retried, dead_lettered, released, .. } = self.metrics;
        write!(f, "{acked} acked, {retried} retried, {dead_lettered} dead-lettered, {released} released")?;
        if !self.is_clean() {
            write!(f, ", {} aborted, {} unsettled", self.metrics.aborted, self.given_up)?;
        }
        write!(f, ", drained in {:?}", self.drain)
    }
}

/// Why serving ended other than by a clean shutdown. The server was drained all the same.
#[derive(Debug)]
pub struct ServeError {
    cause: Cause,
    report: Box<Report>,
}

#[derive(Debug)]
enum Cause {
    Fatal(Error),
    Deadline,
}

impl ServeError {
    pub(super) fn fatal(error: Error, report: Report) -> Self {
        Self { cause: Cause::Fatal(error), report: Box::new(report) }
    }

    pub(super) fn deadline(report: Report) -> Self {
        Self { cause: Cause::Deadline, report: Box::new(report) }
    }

    /// The error no retry could mend: an option that makes no sense, a queue that is closed, missing or
    /// forbidden. `None` if the shutdown passed its deadline.
    #[must_use]
    pub fn fatal_error(&self) -> Option<&Error> {
        match &self.cause {
            Cause::Fatal(error) => Some(error),
            Cause::Deadline => None,
        }
    }

    /// Whether the shutdown passed its deadline, so that handlers were cancelled or settlements given up.
    #[must_use]
    pub fn is_deadline(&self) -> bool {
        matches!(self.cause, Cause::Deadline)
    }

    /// What the server did until then.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Takes out what the server did until then.
    #[must_use]
    pub fn into_report(self) -> Report {
        *self.report
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Fatal(_) => f.write_str("server cannot go on"),
            Cause::Deadline => write!(
                f,
                "shutdown passed its deadline: {} handlers were cancelled and {} messages are unsettled",
                self.report.metrics.aborted, self.report.given_up
            ),
        }
    }
}

impl StdError for ServeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.fatal_error().map(|error| error as _)
    }
}
