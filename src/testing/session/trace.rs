//! [`Trace`], what became of one message in one queue.

use std::fmt;
use std::sync::Arc;

use chappe_core::{Error, Message, Reason};

use crate::testing::show::Shown;

/// What became of one message in one queue of a [`Session`](super::Session).
#[derive(Clone, Debug)]
pub struct Trace {
    pub(super) queue: usize,
    pub(super) publication: Option<usize>,
    pub(super) message: Message,
    pub(super) fate: Fate,
    pub(super) deliveries: u64,
    pub(super) released: u64,
    pub(super) retries: Vec<Option<Reason>>,
    /// What has become of it according to a settlement nobody confirmed, or by an older receipt.
    pub(super) gone: Option<Fate>,
    trouble: Option<String>,
}

/// Where a message is in a queue of a [`Session`](super::Session).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// Its topic has not answered yet.
    Publishing,
    /// Publishing failed, or was given up, in a way that may have stored it all the same.
    Doubtful,
    /// It waits to be fetched.
    Queued,
    /// It was fetched and is not settled.
    InFlight,
    /// It waits for its next attempt.
    Retrying,
    /// Its lease was lost, and it waits to be fetched again.
    LeaseLost,
    /// It was acknowledged.
    Acked,
    /// It was given up, for this reason.
    DeadLettered(Reason),
    /// It was not published.
    Unpublished,
    /// The broker had it already and did not store it again.
    Duplicate,
    /// Its lease was lost, and it is not in the queue any more.
    Gone,
}

impl Fate {
    /// Whether nothing more is to come.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Acked | Self::DeadLettered(_) | Self::Unpublished | Self::Duplicate | Self::Gone)
    }

    /// Whether the message may not be in the queue at all.
    pub(super) fn is_doubtful(&self) -> bool {
        matches!(self, Self::Doubtful | Self::LeaseLost)
    }
}

impl Trace {
    pub(super) fn new(queue: usize, publication: Option<usize>, message: Message, fate: Fate) -> Self {
        Self {
            queue,
            publication,
            message,
            fate,
            deliveries: 0,
            released: 0,
            retries: Vec::new(),
            gone: None,
            trouble: None,
        }
    }

    /// The message as it was fetched last, else as it was published.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Where it is.
    #[must_use]
    pub fn fate(&self) -> &Fate {
        &self.fate
    }

    /// How often it was fetched and not given back without blame.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.deliveries.saturating_sub(self.released)
    }

    /// Why it was retried, once for each time; `None` where the receiver only asked for it.
    #[must_use]
    pub fn retries(&self) -> &[Option<Reason>] {
        &self.retries
    }

    /// Why it was given up, if it was.
    #[must_use]
    pub fn dead_letter(&self) -> Option<&str> {
        match &self.fate {
            Fate::DeadLettered(reason) => Some(reason),
            _ => None,
        }
    }

    /// Takes note of a settlement that failed, and of what it may have done all the same.
    pub(super) fn troubled(&mut self, error: &Error, end: Option<Fate>) {
        self.trouble = Some(error.to_string());
        if error.is_ambiguous() {
            self.gone = end.or(self.gone.take());
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Shown(&self.message), self.fate)?;
        match self.attempts() {
            0 => {}
            1 => f.write_str(", 1 attempt")?,
            attempts => write!(f, ", {attempts} attempts")?,
        }
        if let Some(Some(reason)) = self.retries.last() {
            write!(f, ", last retried because of {:?}", &**reason)?;
        }
        match &self.trouble {
            Some(trouble) if !self.fate.is_final() => write!(f, ", settling failed with {trouble:?}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publishing => "being published",
            Self::Doubtful => "perhaps published",
            Self::Queued => "queued",
            Self::InFlight => "in flight",
            Self::Retrying => "waiting for its next attempt",
            Self::LeaseLost => "lease lost, waiting to be fetched again",
            Self::Acked => "acked",
            Self::DeadLettered(reason) => return write!(f, "dead-lettered because of {:?}", &**reason),
            Self::Unpublished => "not published",
            Self::Duplicate => "refused as a duplicate",
            Self::Gone => "lease lost, gone from the queue",
        })
    }
}

/// A message that was handed to a topic.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    pub(super) topic: usize,
    pub(super) queues: Arc<[usize]>,
    pub(super) message: Message,
    pub(super) sent: Sent,
}

/// What a topic answered.
#[derive(Clone, Debug)]
pub(super) enum Sent {
    Pending,
    Accepted,
    Duplicate,
    Failed(String),
}

impl fmt::Display for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Shown(&self.message);
        match &self.sent {
            Sent::Pending => write!(f, "{shown}: being published"),
            Sent::Accepted => write!(f, "{shown}: published"),
            Sent::Duplicate => write!(f, "{shown}: refused as a duplicate"),
            Sent::Failed(error) => write!(f, "{shown}: not published, {error}"),
        }
    }
}
