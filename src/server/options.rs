//! What a server can be told, and whether it makes sense.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use chappe_core::backend::Capabilities;
use chappe_core::{Error, ErrorKind};

use super::Backoff;

/// How messages of one key are kept in order, on any backend.
///
/// The key is the lane the broker names, else the message's [`Key`](chappe_core::Key); messages without
/// either are not ordered. Order holds within this server; across servers it is the broker's business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lanes {
    /// Not at all, besides what the broker does.
    #[default]
    Off,
    /// One at a time, in order. A message that fails goes back to the broker for its retry, and lets those
    /// behind it pass.
    Passing,
    /// One at a time, in order, also through failures: a message that fails is kept here until its retry,
    /// with its lease renewed, and those behind it wait. A message that is dead-lettered opens its lane.
    ///
    /// Attempts made here are counted in this process only, so a crash forgets them.
    Ordered,
}

/// How a server hands out [batches](super::Server::serve_batch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchOptions {
    /// The most messages in a batch.
    pub max: usize,
    /// How long the first message of a batch may wait for others.
    pub max_wait: Duration,
}

impl BatchOptions {
    /// At most `max` messages, of which none waits for others.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { max, max_wait: Duration::ZERO }
    }

    /// Lets the first message of a batch wait for others.
    #[must_use]
    pub const fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }
}

/// The options of a server. Documented where they are set, on [`Server`](super::Server).
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) concurrency: usize,
    pub(super) prefetch: usize,
    pub(super) max_bytes: usize,
    pub(super) lanes: Lanes,
    pub(super) max_attempts: u32,
    pub(super) backoff: Backoff,
    pub(super) timeout: Option<Duration>,
    pub(super) grace: Duration,
    pub(super) name: Option<Arc<str>>,
    pub(super) batch: BatchOptions,
}

impl Options {
    /// Checks the options against each other and against what the queues can do.
    pub(super) fn check<'a>(
        &self,
        queues: impl IntoIterator<Item = (&'a str, &'a Capabilities, u32)>,
    ) -> Result<(), Error> {
        let invalid = |text: &str| Err(Error::new(ErrorKind::Invalid, text));
        if self.concurrency == 0 {
            return invalid("concurrency is 0, at least 1 is needed to handle anything");
        }
        if self.batch.max == 0 {
            return invalid("batches have at most 0 messages, at least 1 is needed");
        }
        if self.max_attempts == 0 {
            return invalid("max_attempts is 0, at least 1 is needed to handle anything");
        }
        if self.max_bytes == 0 {
            return invalid("max_bytes is 0, at least 1 is needed to fetch anything");
        }
        if self.timeout == Some(Duration::ZERO) {
            return invalid("timeout is zero, no handler could finish in time");
        }
        let mut any = false;
        for (destination, capabilities, weight) in queues {
            any = true;
            if weight == 0 {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("queue {destination} has weight 0, it would never be served"),
                ));
            }
            if capabilities.max_fetch == 0 || capabilities.max_settle_batch == 0 {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("queue {destination} declares that it fetches or settles 0 messages at a time"),
                ));
            }
        }
        if any { Ok(()) } else { invalid("server has no queue to serve") }
    }

    /// The most deliveries that are fetched and not settled at a time, for all queues together.
    pub(super) fn max_unsettled(&self) -> NonZeroUsize {
        let handlers = self.concurrency.saturating_mul(self.batch.max);
        // Lanes need a few behind those that wait for their turn, or one busy key would stop all others.
        let behind = if self.lanes == Lanes::Off { 0 } else { handlers };
        NonZeroUsize::new(handlers.saturating_add(behind).saturating_add(self.prefetch)).unwrap_or(NonZeroUsize::MIN)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: 64,
            prefetch: 0,
            max_bytes: 256 * 1024 * 1024,
            lanes: Lanes::Off,
            max_attempts: 16,
            backoff: Backoff::default(),
            timeout: None,
            grace: Duration::from_secs(25),
            name: None,
            batch: BatchOptions::new(1),
        }
    }
}
