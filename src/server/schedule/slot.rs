//! What is kept of a delivery between fetch and settlement.

use std::time::Duration;

use chappe_core::{LeaseControl, Message, MessageId};
use slab::Slab;
use tokio::time::Instant;

use super::line::LeaseTerms;

/// A delivery on its way to a worker.
pub(in crate::server) struct Job {
    pub(in crate::server) message: Message,
    pub(in crate::server) key: usize,
}

/// What is kept of a delivery until it is settled.
pub(in crate::server) struct Slot<R> {
    pub(in crate::server) receipt: R,
    /// Its number, never used again; the key of a slot is.
    pub(in crate::server) delivery: u64,
    pub(in crate::server) line: usize,
    pub(in crate::server) id: Option<MessageId>,
    pub(in crate::server) until: Option<Instant>,
    /// Attempts made in this process after the one the broker counted.
    pub(in crate::server) local_attempts: u32,
    /// The lease has ended: whatever comes of it, nothing is to be told the broker.
    pub(in crate::server) lost: bool,
    pub(super) received: Instant,
    pub(super) renewing: bool,
    /// A renewal failed: not to be tried again before.
    pub(super) renew_after: Option<Instant>,
    pub(super) bytes: usize,
    pub(super) lane: Option<u64>,
    pub(super) running: bool,
    pub(super) holder: Holder,
    /// The lease a handler of many messages sees of this one.
    pub(super) control: Option<LeaseControl>,
}

/// Whose lease a handler sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Holder {
    /// Nobody's, or the delivery's own.
    None,
    /// That of a worker that handles one message at a time, by its number.
    Worker(usize),
}

/// A job in the hands of a worker, with what it needs to know of the slot.
pub(in crate::server) struct Task {
    pub(in crate::server) job: Job,
    pub(in crate::server) delivery: u64,
    pub(in crate::server) line: usize,
    pub(in crate::server) until: Option<Instant>,
    pub(in crate::server) local_attempts: u32,
}

/// A lease that is to be renewed.
pub(in crate::server) struct Renewal<R> {
    pub(in crate::server) line: usize,
    pub(in crate::server) key: usize,
    pub(in crate::server) delivery: u64,
    pub(in crate::server) receipt: R,
    pub(in crate::server) by: Duration,
}

impl<R> Slot<R> {
    /// The lease its handler sees, if it is being handled.
    pub(super) fn control<'a>(&'a self, crew: &'a Slab<LeaseControl>) -> Option<&'a LeaseControl> {
        match self.holder {
            Holder::Worker(number) => crew.get(number),
            Holder::None => self.control.as_ref(),
        }
    }

    /// When the lease is to be renewed: no later than half of it before its end, and earlier by up to an
    /// eighth, so that what was fetched together is not renewed in one burst for ever.
    pub(super) fn renew_at(&self, terms: LeaseTerms) -> Option<Instant> {
        let until = self.until?;
        if !terms.renewable {
            return Some(until);
        }
        // A multiplicative hash spreads consecutive numbers evenly.
        let spread = (self.delivery.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as u32;
        let jitter = terms.ttl / 8 * spread / (1 << 16);
        until.checked_sub(terms.ttl / 2 + jitter).max(self.renew_after)
    }
}
