//! [`QueueFaults`], the handle that has a queue fail.

use std::sync::Arc;

use chappe_core::ErrorKind;

use super::shared::Shared;
use crate::fault::{Chance, Scripted};

/// Has a [`MemoryQueue`](super::MemoryQueue) fail in ways real brokers do, for tests of what is built on it.
///
/// Scripted faults come first, then those of [`random`](Self::random). A queue nobody asked this of pays
/// one relaxed load per call.
#[derive(Clone)]
pub struct QueueFaults(Arc<Shared>);

impl QueueFaults {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Has the next `calls` fetches fail.
    pub fn fail_next_fetches(&self, calls: usize, kind: ErrorKind) {
        self.0.faults.change(|plan| plan.fetches = Scripted(Some((calls, kind))));
        self.0.stir();
    }

    /// Has the next `calls` settle calls fail without doing anything.
    pub fn fail_next_settles(&self, calls: usize, kind: ErrorKind) {
        self.0.faults.change(|plan| plan.settles = Scripted(Some((calls, kind))));
    }

    /// Has the next `messages` not be published.
    pub fn fail_next_publishes(&self, messages: usize, kind: ErrorKind) {
        self.0.faults.change(|plan| plan.publishes = Scripted(Some((messages, kind))));
    }

    /// Has the next settlements fail one by one, with [`ErrorKind::Unavailable`], while their neighbours in
    /// the same call are applied.
    pub fn fail_settle_entries(&self, settlements: usize) {
        self.0.faults.change(|plan| plan.failed_entries = settlements);
    }

    /// Has the next acknowledgements be applied and reported as failed, as when their confirmation is lost.
    pub fn lose_next_acks(&self, acks: usize) {
        self.0.faults.change(|plan| plan.lost_acks = acks);
    }

    /// Has the next `calls` settle calls be applied and then fail with everything pending, as when the
    /// reply to the call is lost.
    pub fn lose_next_settles(&self, calls: usize) {
        self.0.faults.change(|plan| plan.lost_settles = calls);
    }

    /// Has the next `messages` be published and their receipts lost: the publisher is told that it failed,
    /// [ambiguously](chappe_core::Error::is_ambiguous).
    pub fn lose_next_receipts(&self, messages: usize) {
        self.0.faults.change(|plan| plan.lost_receipts = messages);
    }

    /// Has the next deliveries each be followed by another of the same message, as when a lease ended at
    /// once: the receipt of the first is stale.
    pub fn duplicate_next(&self, deliveries: usize) {
        self.0.faults.change(|plan| plan.duplicates = deliveries);
    }

    /// Has faults happen by chance.
    pub fn random(&self, chance: Chance) {
        self.0.faults.change(|plan| plan.chance = chance);
    }

    /// Ends the leases of all messages in flight now.
    pub fn expire_leases(&self) {
        self.0.expire();
    }

    /// Cuts the connection: every call fails with [`ErrorKind::Unavailable`], also those that wait, and the
    /// status says so. Leases run on.
    pub fn disconnect(&self) {
        self.0.faults.change(|plan| plan.disconnected = true);
        self.0.status().down(format_args!("queue {} was disconnected", self.0.name));
        self.0.stir();
    }

    /// Restores the connection: a new epoch begins, and reconnect callbacks are called.
    pub fn reconnect(&self) {
        self.0.faults.change(|plan| plan.disconnected = false);
        self.0.status().up();
    }

    /// Takes back all faults that have not happened yet. A cut connection stays cut.
    pub fn clear(&self) {
        self.0.faults.clear();
    }

    /// How many faults have happened.
    #[must_use]
    pub fn injected(&self) -> u64 {
        self.0.faults.injected()
    }
}

impl std::fmt::Debug for QueueFaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueueFaults").field("queue", &self.0.name).field("injected", &self.injected()).finish()
    }
}
