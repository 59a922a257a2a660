//! [`Settlement`], what a server tells a queue of a delivery.

use std::time::Duration;

use crate::{Error, Message, Reason};

/// What is to be done with one delivery, and what came of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settlement<R> {
    /// Which delivery.
    pub receipt: R,
    /// What to do.
    pub action: Action,
    /// The message, where the [`Capabilities`](super::Capabilities) say this action needs it.
    pub message: Option<Box<Message>>,
    /// What came of it; the queue sets this.
    pub result: SettleResult,
}

impl<R> Settlement<R> {
    /// A settlement to be passed to [`Queue::settle`](super::Queue::settle).
    pub fn new(receipt: R, action: Action) -> Self {
        Self { receipt, action, message: None, result: SettleResult::Pending }
    }
}

/// What is to be done with a delivery.
///
/// Every delivery ends in exactly one action other than `Extend`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// It was handled: forget it.
    Ack,
    /// It failed: hand it out again after `delay`, and count the attempt.
    Retry {
        /// How long to wait. Longer than the [declared maximum](super::Capabilities::retry_delay) means
        /// the maximum.
        delay: Duration,
        /// Why, where the broker keeps it.
        reason: Option<Reason>,
    },
    /// It was not started: hand it out again at once, in its old place, and do not count the attempt where
    /// that can be helped.
    Release,
    /// It is given up: put it in the dead letter, with the reason. Must not lose the message: if it cannot
    /// be stored there, it stays where it is and the result is `Failed`.
    DeadLetter {
        /// Why.
        reason: Reason,
    },
    /// It is still being handled: keep it from others for this long from now.
    Extend {
        /// How long from now.
        by: Duration,
    },
    /// The server knows that it has lost it: drop what is kept for it in this process, and tell nobody.
    Forget,
}

impl Action {
    /// Whether this is the last that is heard of the delivery.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Extend { .. })
    }
}

/// What came of a [`Settlement`].
#[derive(Debug)]
#[non_exhaustive]
pub enum SettleResult {
    /// Not known yet; the server will pass it again.
    Pending,
    /// It was done.
    Done,
    /// The lease is over or the receipt is stale: nothing was done, and somebody else may have the message.
    Lost,
    /// It could not be done. The server tries again if the error is retryable and the lease lasts.
    Failed(Error),
}

impl SettleResult {
    /// Whether nothing is known yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::Pending)
    }
}

/// A clone starts anew: it has no result.
impl Clone for SettleResult {
    fn clone(&self) -> Self {
        Self::Pending
    }
}
