//! [`Queue`] and [`Consumer`], the contract of work queues.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::{Backend, Capabilities, Settlement, StopToken};
use crate::{Error, ErrorKind, Message, Reason};

/// A work queue: every message goes to one consumer, and the queue hears what became of it.
///
/// A handle; the server shares one among its tasks, so every method may be called concurrently.
pub trait Queue: Backend {
    /// What settles a delivery. It carries a fencing value, such as a generation or an epoch: a receipt
    /// from before a redelivery or a reconnect is answered with
    /// [`SettleResult::Lost`](super::SettleResult::Lost) and never applied to the newer delivery.
    type Receipt: Clone + Send + Sync + 'static;

    /// What fetches messages.
    type Consumer: Consumer<Receipt = Self::Receipt>;

    /// What this queue can do. The same for the whole life of the handle.
    fn capabilities(&self) -> &Capabilities;

    /// Starts consuming. A server calls this once; several servers may consume from one handle.
    ///
    /// # Errors
    ///
    /// Returned errors that are [retryable](Error::is_retryable) have the server try again after a
    /// backoff; any other ends serving.
    ///
    /// # Cancel safety
    ///
    /// A server that is shut down drops this future before it resolves. Nothing may be leased by then.
    fn consume(&self, options: ConsumeOptions) -> impl Future<Output = Result<Self::Consumer, Error>> + Send;

    /// Settles a batch.
    ///
    /// Sets [`result`](Settlement::result) of each entry as soon as it is known, also when the call then
    /// fails. `Ok` means that no entry is pending any more; `Err` leaves the pending ones to be passed
    /// again. Entries may be reordered on the wire and coalesced, but not moved within the slice.
    ///
    /// Repeating an acknowledgement that was applied before is answered with `Done` or `Lost`; both are
    /// fine. A call must not hang: one that gets no answer fails within a time the backend sets.
    ///
    /// # Errors
    ///
    /// What kept the call from being made or answered.
    ///
    /// # Cancel safety
    ///
    /// The server does not drop this future before a hard deadline. When it is dropped, each entry may or
    /// may not have been applied.
    fn settle(&self, batch: &mut [Settlement<Self::Receipt>]) -> impl Future<Output = Result<(), Error>> + Send;

    /// How many messages the queue holds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] where the broker does not tell, which is the default.
    fn depth(&self) -> impl Future<Output = Result<Depth, Error>> + Send {
        async { Err(Error::new(ErrorKind::Unsupported, format!("{} does not tell its depth", self.destination()))) }
    }

    /// Gives back what is held only for consuming: connections, subscriptions, groups. Called once by the
    /// server when every delivery is settled. A second call does nothing.
    ///
    /// # Errors
    ///
    /// What could not be given back; the server reports it and ends all the same.
    fn close(&self) -> impl Future<Output = Result<(), Error>> + Send {
        async { Ok(()) }
    }
}

/// Fetches messages from a [`Queue`], from one task.
pub trait Consumer: Send + 'static {
    /// The queue's receipt.
    type Receipt: Send;

    /// Appends up to `max` deliveries to `out`.
    ///
    /// Resolves as soon as there is at least one message, when the broker's poll ends without any, or when
    /// the [stop token](ConsumeOptions::stop) stops it. After a stop it returns soon, *with* what was
    /// leased already, and says [`Fetch::Stopped`]. Returning fewer than `max` is normal, returning more
    /// is a defect.
    ///
    /// # Errors
    ///
    /// Whatever was appended before the error counts as delivered. A retryable error has the server call
    /// again after a backoff; any other ends serving.
    ///
    /// # Cancel safety
    ///
    /// None is asked for: the server never drops this future before it resolves, except at the deadline of
    /// a shutdown.
    fn fetch(
        &mut self,
        max: usize,
        out: &mut Vec<Delivery<Self::Receipt>>,
    ) -> impl Future<Output = Result<Fetch, Error>> + Send;
}

/// How a server wants to consume.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumeOptions {
    /// Stopped when the server fetches no more.
    pub stop: StopToken,
    /// The most deliveries the server will have unsettled; what a client library may prefetch.
    pub max_unsettled: NonZeroUsize,
    /// The name of this consumer, where the broker shows names.
    pub name: Option<Arc<str>>,
}

impl ConsumeOptions {
    /// Consumes under `stop` with at most `max_unsettled` deliveries out at a time.
    #[must_use]
    pub fn new(stop: StopToken, max_unsettled: NonZeroUsize) -> Self {
        Self { stop, max_unsettled, name: None }
    }
}

/// How a fetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fetch {
    /// Fetch again: there may be more.
    More,
    /// The broker's poll ended without a message. Fetch again; the backend has done the waiting.
    Idle,
    /// The consumer has stopped, and returned all it had.
    Stopped,
}

/// A message that was fetched, and what settles it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery<R> {
    /// The message, with the broker's id, the attempt, the time of publication and the source set.
    pub message: Message,
    /// What settles it.
    pub receipt: R,
    /// When the lease ends, where it has an end. Counted from before the fetch was sent, to be safe.
    pub lease_until: Option<Instant>,
    /// The partition or group the broker keeps in order, where that is not the message's key.
    pub lane: Option<u64>,
}

impl<R> Delivery<R> {
    /// A delivery without an end to its lease.
    pub fn new(message: Message, receipt: R) -> Self {
        Self { message, receipt, lease_until: None, lane: None }
    }

    /// Says when the lease ends.
    #[must_use]
    pub fn lease_until(mut self, until: Instant) -> Self {
        self.lease_until = Some(until);
        self
    }

    /// Names the lane the broker keeps in order.
    #[must_use]
    pub fn lane(mut self, lane: u64) -> Self {
        self.lane = Some(lane);
        self
    }
}

/// How many messages a queue holds. Counts may be approximate, as the broker's are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Depth {
    /// Waiting to be fetched.
    pub ready: u64,
    /// Held back for a time.
    pub delayed: u64,
    /// Fetched and not settled.
    pub in_flight: u64,
    /// In the dead letter.
    pub dead: u64,
}

/// Why and when a message became a dead letter: in the [extensions](Message::extensions) of a message
/// fetched from a dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Why it was given up.
    pub reason: Reason,
    /// The queue it was given up in.
    pub source: Arc<str>,
    /// How often it was tried there; 0 where nobody counted.
    pub attempts: u32,
    /// When it was given up.
    pub at: SystemTime,
}

impl DeadLetter {
    /// What is known of a dead letter.
    pub fn new(reason: impl Into<Reason>, source: impl Into<Arc<str>>, attempts: u32, at: SystemTime) -> Self {
        Self { reason: reason.into(), source: source.into(), attempts, at }
    }
}
