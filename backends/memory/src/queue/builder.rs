//! [`MemoryQueueBuilder`], the options of a [`MemoryQueue`].

use std::sync::Arc;
use std::time::Duration;

use chappe_core::backend::{Attempts, Capabilities, Delay, LeaseKind, Order, PublishCapabilities};
use chappe_core::{Error, ErrorKind};

use super::MemoryQueue;
use super::gate::{Limits, Seen};
use super::shared::Shared;

/// How many settlements, messages or deliveries one call takes to advantage.
const BATCH: usize = 1024;

/// Builds a [`MemoryQueue`]. Made by [`MemoryQueue::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct MemoryQueueBuilder {
    name: Arc<str>,
    capacity: usize,
    max_bytes: usize,
    max_message_bytes: usize,
    lease: Duration,
    max_delay: Option<Duration>,
    dedup: (Duration, usize),
    ordered: bool,
    dead: Option<MemoryQueue>,
}

impl MemoryQueueBuilder {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            capacity: 1_000_000,
            max_bytes: usize::MAX,
            max_message_bytes: usize::MAX,
            lease: Duration::from_secs(30),
            max_delay: None,
            dedup: (Duration::from_secs(5 * 60), 100_000),
            ordered: true,
            dead: None,
        }
    }

    /// How many messages the queue holds in all: ready, delayed and in flight. Publishers wait for room;
    /// redeliveries, dead letters and redriven messages do not. One million by default.
    pub fn capacity(mut self, messages: usize) -> Self {
        self.capacity = messages;
        self
    }

    /// How many bytes of bodies and attributes the queue holds in all. Publishers wait for room. Unlimited
    /// by default.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How many bytes of body and attributes one message may have. By default, and at most, what the queue
    /// holds in all.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// How long a fetched message is kept from others. 30 seconds by default.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// The longest a message can be held back after publishing, and the longest pause before a retry.
    /// Unlimited by default.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = Some(delay);
        self
    }

    /// How long, and how many of the last ids at most, the queue remembers, to recognise a message that is
    /// published again with the same [id](chappe_core::Message::id). Five minutes and 100 000 ids by default;
    /// zero of either switches it off. Messages without an id cost nothing.
    pub fn dedup(mut self, window: Duration, max_ids: usize) -> Self {
        self.dedup = (window, max_ids);
        self
    }

    /// Whether messages of one key are handed out in order and one at a time. They are by default;
    /// without, keys are carried and mean nothing to the queue.
    pub fn ordered(mut self, ordered: bool) -> Self {
        self.ordered = ordered;
        self
    }

    /// Where dead letters go. Without, the queue has no dead letter.
    pub fn dead_letter(mut self, queue: &MemoryQueue) -> Self {
        self.dead = Some(queue.clone());
        self
    }

    /// Builds the queue.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if a capacity, a size or the lease is zero.
    pub fn build(self) -> Result<MemoryQueue, Error> {
        let zero = [
            ("capacity", self.capacity == 0),
            ("max_bytes", self.max_bytes == 0),
            ("max_message_bytes", self.max_message_bytes == 0),
            ("lease", self.lease.is_zero()),
            ("max_delay", self.max_delay.is_some_and(|delay| delay.is_zero())),
        ];
        match zero.iter().find(|(_, zero)| *zero) {
            Some((option, _)) => {
                let text = format!("{option} of queue {} is zero, set at least one", self.name);
                Err(Error::new(ErrorKind::Invalid, text))
            }
            None => Ok(self.assemble()),
        }
    }

    pub(super) fn assemble(self) -> MemoryQueue {
        let mut capabilities = Capabilities::new();
        capabilities.lease = LeaseKind::Timed { ttl: self.lease, max: None, renewable: true };
        capabilities.retry_delay = Delay::Exact { max: self.max_delay };
        capabilities.attempts = Attempts::Exact;
        capabilities.order = if self.ordered { Order::LaneExclusive } else { Order::None };
        capabilities.dead_letter = self.dead.is_some();
        capabilities.release = true;
        capabilities.confirmed_settle = true;
        capabilities.max_settle_batch = BATCH;
        capabilities.settles_at_once = true;
        capabilities.max_fetch = BATCH;

        let (window, max_ids) = self.dedup;
        let mut publish = PublishCapabilities::new();
        publish.max_batch = BATCH;
        publish.max_message_bytes = self.max_message_bytes.min(self.max_bytes);
        publish.delay = Delay::Exact { max: self.max_delay };
        publish.dedup = !window.is_zero() && max_ids > 0;
        publish.self_batching = true;

        let limits = Limits { messages: self.capacity, bytes: self.max_bytes, ordered: self.ordered };
        let shared = Shared::new(
            self.name,
            capabilities,
            publish,
            self.lease,
            self.max_delay,
            self.dead,
            limits,
            Seen::new(window, max_ids),
        );
        MemoryQueue::from_shared(shared)
    }
}
