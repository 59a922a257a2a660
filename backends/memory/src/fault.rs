//! [`Faults`], what can be made to go wrong with a queue.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chappe_core::{Error, ErrorKind};

/// What a queue was told to get wrong. Where nothing was, looking costs one relaxed load.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Shared>);

#[derive(Default)]
struct Shared {
    active: AtomicBool,
    plan: Mutex<Plan>,
}

/// A call that fails.
pub(crate) struct Fault {
    pub(crate) error: Error,
    /// It did what it was asked for all the same.
    pub(crate) applied: bool,
}

/// What happens to one settlement of a call that is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryFault {
    /// It is not applied, and says so.
    Failed,
    /// It is applied, and says that it failed.
    Lost,
}

/// What is to go wrong, by script and by chance.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) disconnected: bool,
    pub(crate) fetches: Scripted,
    pub(crate) settles: Scripted,
    pub(crate) publishes: Scripted,
    pub(crate) lost_settles: usize,
    pub(crate) lost_receipts: usize,
    pub(crate) failed_entries: usize,
    pub(crate) lost_acks: usize,
    pub(crate) duplicates: usize,
    pub(crate) chance: Chance,
    pub(crate) injected: u64,
}

/// So many calls that fail in this way.
#[derive(Default)]
pub(crate) struct Scripted(pub(crate) Option<(usize, ErrorKind)>);

/// Faults that happen with a probability, the same ones in every run with the same seed.
///
/// # Examples
///
/// ```
/// use chappe_memory::{Chance, MemoryQueue};
///
/// let queue = MemoryQueue::new("jobs");
/// queue.faults().random(Chance::seeded(7).fetch(0.1).settle(0.1).publish(0.05));
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Chance {
    state: u64,
    fetch: f64,
    settle: f64,
    lost_settle: f64,
    entry: f64,
    publish: f64,
    lost_receipt: f64,
    duplicate: f64,
}

impl Chance {
    /// No faults yet. The same seed gives the same sequence of decisions.
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed, ..Self::default() }
    }

    /// How likely a fetch fails with [`ErrorKind::Unavailable`], from 0 to 1.
    pub fn fetch(mut self, probability: f64) -> Self {
        self.fetch = probability;
        self
    }

    /// How likely a settle call fails with [`ErrorKind::Unavailable`] and does nothing.
    pub fn settle(mut self, probability: f64) -> Self {
        self.settle = probability;
        self
    }

    /// How likely a settle call is applied and then fails, as when the reply is lost.
    pub fn lost_settle(mut self, probability: f64) -> Self {
        self.lost_settle = probability;
        self
    }

    /// How likely one settlement of a call fails with [`ErrorKind::Unavailable`].
    pub fn settle_entry(mut self, probability: f64) -> Self {
        self.entry = probability;
        self
    }

    /// How likely a message is not published, with [`ErrorKind::Unavailable`].
    pub fn publish(mut self, probability: f64) -> Self {
        self.publish = probability;
        self
    }

    /// How likely a message is published and its receipt lost.
    pub fn lost_receipt(mut self, probability: f64) -> Self {
        self.lost_receipt = probability;
        self
    }

    /// How likely a delivery is followed by another of the same message.
    pub fn duplicate(mut self, probability: f64) -> Self {
        self.duplicate = probability;
        self
    }

    /// Draws a number, and says whether it falls under the probability (splitmix64).
    fn strikes(&mut self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        // 53 bits are what a float of this size can hold exactly.
        ((bits >> 11) as f64) < probability * (1_u64 << 53) as f64
    }
}

impl Faults {
    /// Whether anything was told to go wrong.
    pub(crate) fn is_active(&self) -> bool {
        self.0.active.load(Ordering::Relaxed)
    }

    /// Changes the plan.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.lock());
        self.0.active.store(true, Ordering::Relaxed);
    }

    /// Makes an end of all faults.
    pub(crate) fn clear(&self) {
        let mut plan = self.lock();
        *plan = Plan { injected: plan.injected, disconnected: plan.disconnected, ..Plan::default() };
        self.0.active.store(plan.disconnected, Ordering::Relaxed);
    }

    pub(crate) fn injected(&self) -> u64 {
        self.lock().injected
    }

    /// Fails while disconnected.
    pub(crate) fn reachable(&self, queue: &str) -> Result<(), Error> {
        if self.is_active() && self.lock().disconnected { Err(disconnected(queue)) } else { Ok(()) }
    }

    /// What goes wrong with a fetch. Chance is asked once per call, however often it looks.
    pub(crate) fn on_fetch(&self, queue: &str, first: bool) -> Option<Error> {
        self.consult(|plan| {
            if plan.disconnected {
                return Some(disconnected(queue));
            }
            let chance = if first { plan.chance.fetch } else { 0.0 };
            let kind = plan.fetches.next().or_else(|| plan.chance.strikes(chance).then_some(UNAVAILABLE))?;
            Some(injected(kind, queue, "fetch"))
        })
    }

    /// What goes wrong with a settle call.
    pub(crate) fn on_settle(&self, queue: &str) -> Option<Fault> {
        self.consult(|plan| {
            if plan.disconnected {
                return Some(Fault { error: disconnected(queue), applied: false });
            }
            let (settle, lost) = (plan.chance.settle, plan.chance.lost_settle);
            if let Some(kind) = plan.settles.next().or_else(|| plan.chance.strikes(settle).then_some(UNAVAILABLE)) {
                return Some(Fault { error: injected(kind, queue, "settle"), applied: false });
            }
            let strikes = count_down(&mut plan.lost_settles) || plan.chance.strikes(lost);
            strikes.then(|| Fault { error: injected(UNAVAILABLE, queue, "settle").ambiguous(), applied: true })
        })
    }

    /// What goes wrong with one settlement.
    pub(crate) fn on_entry(&self, ack: bool) -> Option<EntryFault> {
        self.consult(|plan| {
            let entry = plan.chance.entry;
            if count_down(&mut plan.failed_entries) || plan.chance.strikes(entry) {
                return Some(EntryFault::Failed);
            }
            (ack && count_down(&mut plan.lost_acks)).then_some(EntryFault::Lost)
        })
    }

    /// What goes wrong with a message on its way in.
    pub(crate) fn on_publish(&self, queue: &str) -> Option<Fault> {
        self.consult(|plan| {
            if plan.disconnected {
                return Some(Fault { error: disconnected(queue), applied: false });
            }
            let (publish, lost) = (plan.chance.publish, plan.chance.lost_receipt);
            if let Some(kind) = plan.publishes.next().or_else(|| plan.chance.strikes(publish).then_some(UNAVAILABLE)) {
                return Some(Fault { error: injected(kind, queue, "publish"), applied: false });
            }
            let strikes = count_down(&mut plan.lost_receipts) || plan.chance.strikes(lost);
            strikes.then(|| Fault { error: injected(UNAVAILABLE, queue, "publish").ambiguous(), applied: true })
        })
    }

    /// Whether the next delivery is followed by another of the same message.
    pub(crate) fn on_delivery(&self) -> bool {
        self.consult(|plan| {
            let duplicate = plan.chance.duplicate;
            (count_down(&mut plan.duplicates) || plan.chance.strikes(duplicate)).then_some(())
        })
        .is_some()
    }

    fn consult<T>(&self, look: impl FnOnce(&mut Plan) -> Option<T>) -> Option<T> {
        if !self.is_active() {
            return None;
        }
        let mut plan = self.lock();
        let fault = look(&mut plan);
        plan.injected += u64::from(fault.is_some());
        fault
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.0.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("injected", &self.injected()).finish_non_exhaustive()
    }
}

impl EntryFault {
    /// What the settlement answers with.
    pub(crate) fn error(self, queue: &str) -> Error {
        let error = injected(UNAVAILABLE, queue, "settlement");
        if self == Self::Lost { error.ambiguous() } else { error }
    }
}

impl Scripted {
    fn next(&mut self) -> Option<ErrorKind> {
        let (left, kind) = self.0.as_mut()?;
        let kind = *kind;
        if count_down(left) { Some(kind) } else { None }
    }
}

const UNAVAILABLE: ErrorKind = ErrorKind::Unavailable;

fn count_down(left: &mut usize) -> bool {
    let strikes = *left > 0;
    *left = left.saturating_sub(1);
    strikes
}

fn injected(kind: ErrorKind, queue: &str, what: &str) -> Error {
    Error::new(kind, format!("{what} on queue {queue} was made to fail"))
}

fn disconnected(queue: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("queue {queue} is disconnected"))
}
