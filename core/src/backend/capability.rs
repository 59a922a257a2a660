//! What a backend can do, declared.

use std::time::Duration;

use crate::{AttributeLimits, Error, ErrorKind, Message};

/// How a broker keeps a fetched message from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseKind {
    /// For a time.
    Timed {
        /// How long a fetched message is kept.
        ttl: Duration,
        /// The longest it may be kept in all, renewals included.
        max: Option<Duration>,
        /// Whether [`Action::Extend`](super::Action::Extend) is understood.
        renewable: bool,
    },
    /// For as long as needed; the client library renews.
    Managed,
    /// For as long as the connection lives.
    Connection,
    /// Not at all.
    None,
}

/// How precisely a broker can hold a message back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delay {
    /// For any time up to a maximum.
    Exact {
        /// The longest time.
        max: Option<Duration>,
    },
    /// For one of a few fixed times; the backend takes the nearest that is not shorter.
    Buckets,
    /// Not at all.
    None,
}

/// How a broker counts attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attempts {
    /// Each delivery counts one.
    Exact,
    /// The count may be off by a few.
    Approximate,
    /// It only tells a first delivery from a later one.
    Flag,
    /// It does not count.
    None,
}

/// What order a queue keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// None that could be relied on.
    None,
    /// Messages of one key are fetched in order, and several of them may be out at once.
    Lane,
    /// Messages of one key are fetched in order, one at a time: the next only when the one before is
    /// settled for good.
    LaneExclusive,
}

/// What a queue can do. Construct with [`Capabilities::new`] and set what differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Capabilities {
    /// How fetched messages are kept from others.
    pub lease: LeaseKind,
    /// How long a retry can be put off by the broker. Where this is [`Delay::None`] the server holds the
    /// message itself and keeps its lease.
    pub retry_delay: Delay,
    /// How attempts are counted.
    pub attempts: Attempts,
    /// What order is kept.
    pub order: Order,
    /// Whether [`Action::DeadLetter`](super::Action::DeadLetter) has somewhere to put the message. Where it
    /// has not, the server never asks for it and retries instead.
    pub dead_letter: bool,
    /// Whether [`Action::Release`](super::Action::Release) leaves the attempt uncounted. Where it does not,
    /// a released message comes back one attempt older.
    pub release: bool,
    /// Whether a settlement that succeeded is stored by the broker, rather than sent on its way.
    pub confirmed_settle: bool,
    /// Whether [`Settlement::message`](super::Settlement::message) must be filled for retries.
    pub retry_needs_message: bool,
    /// Whether [`Settlement::message`](super::Settlement::message) must be filled for dead letters.
    pub dead_letter_needs_message: bool,
    /// The most settlements one call takes to advantage.
    pub max_settle_batch: usize,
    /// Whether settling never waits, as where the queue is in this process. It is then called right where a
    /// message was handled, rather than in batches of its own; a call that waits all the same is seen
    /// through.
    pub settles_at_once: bool,
    /// How long to wait for more settlements before a call, where calls cost money. Zero means none.
    pub settle_linger: Duration,
    /// The most messages one fetch returns.
    pub max_fetch: usize,
}

impl Capabilities {
    /// A queue that can do nothing but hand out messages and hear that they were handled.
    #[must_use]
    pub fn new() -> Self {
        Self {
            lease: LeaseKind::None,
            retry_delay: Delay::None,
            attempts: Attempts::None,
            order: Order::None,
            dead_letter: false,
            release: false,
            confirmed_settle: false,
            retry_needs_message: false,
            dead_letter_needs_message: false,
            max_settle_batch: 1,
            settles_at_once: false,
            settle_linger: Duration::ZERO,
            max_fetch: 1,
        }
    }
}

impl Default for Capabilities {
    fn default() -> Self {
        Self::new()
    }
}

/// What a publisher can do and carry. Construct with [`PublishCapabilities::new`] and set what differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishCapabilities {
    /// The most messages one call takes.
    pub max_batch: usize,
    /// The most bytes of bodies and attributes one call takes.
    pub max_batch_bytes: usize,
    /// The most bytes of body and attributes one message may have.
    pub max_message_bytes: usize,
    /// What attributes are carried.
    pub attributes: AttributeLimits,
    /// How long a message can be held back.
    pub delay: Delay,
    /// Whether a message with an [id](crate::Message::id) the broker has seen lately is stored only once.
    pub dedup: bool,
    /// Whether a result says that the broker has stored the message.
    pub confirmed: bool,
    /// Whether the client batches by itself, so that batching here would only delay.
    pub self_batching: bool,
}

impl PublishCapabilities {
    /// One message at a time, of any size, with any attributes, without delay.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_batch: 1,
            max_batch_bytes: usize::MAX,
            max_message_bytes: usize::MAX,
            attributes: AttributeLimits::default(),
            delay: Delay::None,
            dedup: false,
            confirmed: true,
            self_batching: false,
        }
    }

    /// Checks that a message fits, before anything is sent.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::TooLarge`]: body and attributes together, or an attribute, are over the limit.
    /// - [`ErrorKind::Invalid`]: an attribute cannot be carried, or the delay is longer than the maximum.
    /// - [`ErrorKind::Unsupported`]: the message has a delay and the broker has none.
    #[inline]
    pub fn check(&self, message: &Message) -> Result<(), Error> {
        self.attributes.check(message.attributes())?;
        let size = message.size_bytes();
        if size > self.max_message_bytes {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "message has {size} bytes ({} of body, the rest attributes), the limit is {}",
                    message.body().len(),
                    self.max_message_bytes
                ),
            ));
        }
        match (message.delay(), self.delay) {
            (None, _) | (Some(Duration::ZERO), _) | (_, Delay::Exact { max: None } | Delay::Buckets) => Ok(()),
            (Some(delay), Delay::Exact { max: Some(max) }) if delay <= max => Ok(()),
            (Some(delay), Delay::Exact { max: Some(max) }) => {
                Err(Error::new(ErrorKind::Invalid, format!("message has a delay of {delay:?}, the limit is {max:?}")))
            }
            (Some(delay), Delay::None) => Err(Error::new(
                ErrorKind::Unsupported,
                format!("message has a delay of {delay:?}, which this topic cannot hold back"),
            )),
        }
    }
}

impl Default for PublishCapabilities {
    fn default() -> Self {
        Self::new()
    }
}
