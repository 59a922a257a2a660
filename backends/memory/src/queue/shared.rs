//! [`Shared`], what all handles of one queue share: the gate, the store, and the order of their locks.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, SystemTime};

use chappe_core::backend::{
    Action, Capabilities, DeadLetter, Delivery, PublishCapabilities, SettleResult, Settlement, Status,
};
use chappe_core::{Error, ErrorKind, Message, Published};
use tokio::time::Instant;

use super::gate::{Admission, Entry, Gate, Limits, Seen};
use super::store::Store;
use super::{MemoryQueue, MemoryReceipt};
use crate::fault::Faults;

/// Locks are taken in the order store, then gate; a dead letter takes the gate of its target while the
/// store it comes from is locked, and never two gates or two stores at a time.
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    status: Status,
    pub(super) capabilities: Capabilities,
    pub(super) publish: PublishCapabilities,
    pub(super) lease: Duration,
    pub(super) max_delay: Option<Duration>,
    pub(super) dead: Option<MemoryQueue>,
    pub(super) faults: Faults,
    limits: Limits,
    /// What the gate says of itself, for those who only want to know whether to lock it.
    full: AtomicBool,
    idle: AtomicUsize,
    gate: Apart<Mutex<Gate>>,
    store: Apart<Mutex<Store>>,
}

/// Keeps what publishers write off the cache lines of what consumers write.
#[repr(align(128))]
struct Apart<T>(T);

/// What came of a message on its way in.
pub(super) enum Admitted {
    Done(Result<Published, Error>),
    /// There was no room.
    Full(Message),
}

/// What a fetch found.
pub(super) enum Taken {
    Some,
    /// Nothing until then; the consumer is woken when there is.
    Nothing(Option<Instant>),
    /// Nothing, and there will never be.
    Closed,
}

/// What a batch of settlements leads to.
#[derive(Default)]
struct Effect {
    messages: usize,
    bytes: usize,
    woken: Vec<Waker>,
}

impl Effect {
    fn count(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }
}

/// A consumer's seat among those that wait.
#[derive(Default)]
pub(super) struct Seat {
    pub(super) ticket: u64,
    pub(super) taken: bool,
}

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "called once, by the builder")]
    pub(super) fn new(
        name: Arc<str>,
        capabilities: Capabilities,
        publish: PublishCapabilities,
        lease: Duration,
        max_delay: Option<Duration>,
        dead: Option<MemoryQueue>,
        limits: Limits,
        seen: Seen,
    ) -> Self {
        Self {
            name,
            status: Status::new(),
            capabilities,
            publish,
            lease,
            max_delay,
            dead,
            faults: Faults::default(),
            full: AtomicBool::new(false),
            idle: AtomicUsize::new(0),
            gate: Apart(Mutex::new(Gate::new(limits, seen))),
            store: Apart(Mutex::new(Store::new(limits.ordered))),
            limits,
        }
    }

    pub(super) fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a publisher would have to wait, as far as can be told without a lock.
    pub(super) fn looks_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// The status, with the messages counted that were published since consumers last looked. Counting each
    /// as it comes would have publishers and consumers fight over the counters.
    pub(super) fn status(&self) -> &Status {
        let sent = self.gate().uncounted();
        if sent > 0 {
            self.status.count_sent(sent);
        }
        &self.status
    }

    pub(super) fn closed(&self) -> Error {
        Error::new(ErrorKind::Closed, format!("queue {} is closed", self.name))
    }

    /// Takes a message in, or answers with it when there is no room.
    #[inline(always)]
    pub(super) fn admit(&self, mut message: Message, entry: Entry) -> Admitted {
        message.set_published(SystemTime::now());
        let bytes = self.weigh(&message);
        let mut gate = self.gate();
        let admission = gate.admit(message, bytes, entry);
        let woken = if matches!(admission, Admission::Accepted(_)) { gate.wake_one() } else { None };
        self.note(&gate);
        drop(gate);
        match admission {
            Admission::Accepted(published) => {
                if let Some(woken) = woken {
                    woken.wake();
                }
                Admitted::Done(Ok(published))
            }
            Admission::Duplicate(published) => Admitted::Done(Ok(published)),
            Admission::Closed => Admitted::Done(Err(self.closed())),
            Admission::Full(message) => Admitted::Full(message),
        }
    }

    /// Leases what is ready, or has the consumer wait in its seat.
    pub(super) fn take(
        &self,
        seat: &mut Seat,
        waker: &Waker,
        max: usize,
        out: &mut Vec<Delivery<MemoryReceipt>>,
    ) -> Taken {
        let now = Instant::now();
        let until = now + self.lease;
        let mut store = self.store();
        let (mut taken, mut sent) = (0, 0);
        loop {
            let more = {
                let mut gate = self.gate();
                if std::mem::take(&mut seat.taken) {
                    gate.rise(seat.ticket);
                    self.note(&gate);
                }
                gate.pour_into(&mut store);
                sent += gate.uncounted();
                gate.has_news()
            };
            store.advance(now);
            taken += store.take(max - taken, now, until, self, out);
            if taken < max && more {
                continue;
            }
            if taken > 0 {
                let woken = self.wake_others(&mut store);
                drop(store);
                if let Some(woken) = woken {
                    woken.wake();
                }
                self.status.count_sent(sent);
                self.status.count_received(taken as u64);
                return Taken::Some;
            }
            let due = store.next_due();
            let mut gate = self.gate();
            if gate.has_news() {
                continue;
            }
            if gate.is_shut() && gate.len() == 0 {
                return Taken::Closed;
            }
            if seat.ticket == 0 {
                seat.ticket = gate.ticket();
            }
            gate.sit(seat.ticket, due, waker.clone());
            seat.taken = true;
            self.note(&gate);
            self.status.count_sent(sent);
            return Taken::Nothing(due);
        }
    }

    /// Gives up a seat, and passes on what its holder was woken for.
    pub(super) fn leave(&self, seat: &mut Seat) {
        if !std::mem::take(&mut seat.taken) {
            return;
        }
        let mut gate = self.gate();
        let woken = if gate.rise(seat.ticket) { None } else { gate.wake_one() };
        self.note(&gate);
        drop(gate);
        if let Some(woken) = woken {
            woken.wake();
        }
    }

    /// Settles a batch under one lock.
    pub(super) fn settle<'a>(&self, batch: impl Iterator<Item = &'a mut Settlement<MemoryReceipt>>) {
        let now = Instant::now();
        let mut effect = Effect::default();
        let mut store = self.store();
        for settlement in batch {
            settlement.result = self.apply(&mut store, settlement, now, &mut effect);
        }
        let mut done = std::mem::take(&mut store.done);
        // Consumers sit down under the store's lock: who is not seen here will see what was settled.
        let idle = self.idle.load(Ordering::Relaxed) > 0;
        let (ready, due) = if idle { (store.has_ready(), store.next_due()) } else { (false, None) };
        drop(store);
        done.clear();

        let Effect { messages, bytes, mut woken } = effect;
        if messages > 0 || idle {
            let mut gate = self.gate();
            gate.free(messages, bytes, &mut woken);
            woken.extend(gate.wake_for(ready, due));
            if gate.is_shut() && gate.len() == 0 {
                gate.wake_all(&mut woken);
            }
            if done.capacity() > gate.spare.capacity() {
                std::mem::swap(&mut gate.spare, &mut done);
            }
            self.note(&gate);
        }
        woken.into_iter().for_each(Waker::wake);
    }

    fn apply(
        &self,
        store: &mut Store,
        settlement: &Settlement<MemoryReceipt>,
        now: Instant,
        effect: &mut Effect,
    ) -> SettleResult {
        if settlement.action == Action::Forget {
            return SettleResult::Done;
        }
        let Some(slot) = store.find(settlement.receipt, now) else { return SettleResult::Lost };
        match &settlement.action {
            Action::Ack => {
                effect.count(self.weigh(store.message(slot)));
                store.finish(slot, now);
            }
            Action::Retry { delay, .. } => {
                store.retry(slot, self.max_delay.map_or(*delay, |max| max.min(*delay)), now);
            }
            Action::Release => store.release(slot),
            Action::DeadLetter { reason } => {
                let Some(dead) = &self.dead else {
                    return refused(ErrorKind::Unsupported, format!("queue {} has no dead letter", self.name));
                };
                let message = store.remove(slot, now);
                effect.count(self.weigh(&message));
                let source = Arc::clone(&self.name);
                let letter = DeadLetter::new(Arc::clone(reason), source, message.attempt(), SystemTime::now());
                effect.woken.extend(dead.bury(message, letter));
            }
            Action::Extend { by } => match now.checked_add(*by) {
                Some(until) => store.extend(slot, until),
                None => {
                    return refused(ErrorKind::Invalid, format!("lease cannot be extended by {by:?}, it is too long"));
                }
            },
            other => return refused(ErrorKind::Unsupported, format!("queue {} does not know {other:?}", self.name)),
        }
        SettleResult::Done
    }

    /// What a message counts for, where bytes are limited.
    pub(super) fn weigh(&self, message: &Message) -> usize {
        if self.limits.bytes == usize::MAX { 0 } else { message.size_bytes() }
    }

    /// Ends all leases now.
    pub(super) fn expire(&self) {
        let mut store = self.store();
        store.expire();
        let woken = self.wake_others(&mut store);
        drop(store);
        if let Some(woken) = woken {
            woken.wake();
        }
    }

    /// Wakes all who wait, for them to look again.
    pub(super) fn stir(&self) {
        let mut woken = Vec::new();
        let mut gate = self.gate();
        gate.wake_all(&mut woken);
        gate.stir(&mut woken);
        self.note(&gate);
        drop(gate);
        woken.into_iter().for_each(Waker::wake);
    }

    pub(super) fn shut(&self) {
        let mut woken = Vec::new();
        let mut gate = self.gate();
        gate.shut(&mut woken);
        self.note(&gate);
        drop(gate);
        woken.into_iter().for_each(Waker::wake);
    }

    /// The consumer to wake when another has changed what there is to fetch, or when.
    fn wake_others(&self, store: &mut Store) -> Option<Waker> {
        // Consumers sit down under the store's lock, which is held: none can be missed.
        if self.idle.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let (ready, due) = (store.has_ready(), store.next_due());
        let mut gate = self.gate();
        let ready = ready || gate.has_news();
        let woken = gate.wake_for(ready, due);
        self.note(&gate);
        woken
    }

    pub(super) fn note(&self, gate: &Gate) {
        let full = gate.is_full();
        // Read first: the line is shared by all publishers, and rarely changes.
        if self.full.load(Ordering::Relaxed) != full {
            self.full.store(full, Ordering::Relaxed);
        }
        if self.idle.load(Ordering::Relaxed) != gate.idle() {
            self.idle.store(gate.idle(), Ordering::Relaxed);
        }
    }
}

fn refused(kind: ErrorKind, text: String) -> SettleResult {
    SettleResult::Failed(Error::new(kind, text))
}
