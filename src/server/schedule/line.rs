//! What the schedule keeps of each queue.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chappe_core::backend::{Capabilities, LeaseKind};
use chappe_core::{Message, MessageId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::slot::Job;

/// One unit of virtual time is what a message of weight 1 takes.
const VIRTUAL_UNIT: u64 = 1 << 32;

/// How many acknowledgements that did not get through are remembered for each queue, and for how long.
const MAX_REMEMBERED: usize = 10_000;
const REMEMBERED_FOR: Duration = Duration::from_secs(600);

/// What the schedule keeps of each queue.
pub(super) struct Line {
    pub(super) ready: VecDeque<Job>,
    /// Fetched and not settled.
    pub(super) outstanding: usize,
    /// Of those, in the hands of workers.
    pub(super) running: usize,
    /// Of those, waiting here for their next attempt.
    pub(super) held: usize,
    /// Settlements on their way to the queue.
    pub(super) settling: usize,
    /// How many may wait beside those that run, where several queues share the server.
    pub(super) share: usize,
    pub(super) max_fetch: usize,
    pub(super) lease: Option<LeaseTerms>,
    pub(super) pump: Arc<Notify>,
    pub(super) pump_waits: bool,
    pub(super) weight: u64,
    /// Where in virtual time its last message ended.
    virtual_end: u64,
    /// Handled, but the acknowledgement did not get through: acknowledged when they come again.
    remembered: HashMap<MessageId, Instant>,
}

/// How the leases of a queue last.
#[derive(Clone, Copy)]
pub(super) struct LeaseTerms {
    pub(super) ttl: Duration,
    pub(super) max: Option<Duration>,
    pub(super) renewable: bool,
}

impl Line {
    pub(super) fn new(capabilities: &Capabilities, weight: u32) -> Self {
        let lease = match capabilities.lease {
            LeaseKind::Timed { ttl, max, renewable } => Some(LeaseTerms { ttl, max, renewable }),
            _ => None,
        };
        Self {
            ready: VecDeque::new(),
            outstanding: 0,
            running: 0,
            held: 0,
            settling: 0,
            share: usize::MAX,
            max_fetch: capabilities.max_fetch,
            lease,
            pump: Arc::new(Notify::new()),
            pump_waits: false,
            weight: weight.into(),
            virtual_end: 0,
            remembered: HashMap::new(),
        }
    }

    /// Where in virtual time its next message would begin. A queue that was idle begins now: it has saved
    /// up no credit.
    pub(super) fn virtual_start(&self, now: u64) -> u64 {
        self.virtual_end.max(now)
    }

    /// Takes note that a message of this queue was chosen, and returns where in virtual time it began.
    pub(super) fn choose(&mut self, now: u64) -> u64 {
        let start = self.virtual_start(now);
        self.virtual_end = start + VIRTUAL_UNIT / self.weight;
        start
    }

    /// Remembers a message that was handled and whose acknowledgement did not get through.
    pub(super) fn remember(&mut self, id: MessageId, now: Instant) {
        if self.remembered.len() >= MAX_REMEMBERED {
            self.remembered.retain(|_, since| now.duration_since(*since) < REMEMBERED_FOR);
        }
        // Still full of fresh ones: handling this one twice is the lesser evil than growing without end.
        if self.remembered.len() < MAX_REMEMBERED {
            self.remembered.insert(id, now);
        }
    }

    /// Forgets a message that was remembered.
    pub(super) fn forget(&mut self, id: &MessageId) {
        self.remembered.remove(id);
    }

    /// Whether the message was handled before, and only its acknowledgement is missing.
    ///
    /// A first attempt is another message that was given the same id, or one sent back from the dead letter.
    pub(super) fn recall(&mut self, message: &Message, now: Instant) -> bool {
        if self.remembered.is_empty() || message.attempt() == 1 {
            return false;
        }
        let id = message.id();
        id.and_then(|id| self.remembered.remove(id)).is_some_and(|since| now.duration_since(since) < REMEMBERED_FOR)
    }
}
