//! [`Schedule`], which delivery is handled next: permits, lanes, weights, and what waits for its time.
//!
//! A plain data structure behind the server's one lock. It decides, and wakes whom its decisions concern;
//! it never waits itself.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use chappe_core::backend::{Capabilities, Delivery};
use chappe_core::{Cancelled, LeaseControl, Message, MessageId};
use slab::Slab;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::options::{Lanes, Options};

mod crew;
mod line;
mod room;
mod slot;
mod time;

use line::Line;
use room::share_out;
pub(super) use slot::{Holder, Job, Renewal, Slot, Task};

/// Where all deliveries are between fetch and settlement.
pub(super) struct Schedule<R> {
    limits: Limits,
    lines: Vec<Line>,
    slots: Slab<Slot<R>>,
    /// The leases of workers.
    crew: Slab<LeaseControl>,
    /// Deliveries that wait for one of their lane. A lane is in here for as long as it is busy.
    lanes: HashMap<(usize, u64), VecDeque<Job>>,
    /// Deliveries that wait for a time, by that time and their number.
    held: BTreeMap<(Instant, u64), Held>,
    hasher: RandomState,
    bytes: usize,
    deliveries: u64,
    /// Where in virtual time the message chosen last began.
    virtual_time: u64,
    paused_until: Option<Instant>,
    draining: bool,
    /// Workers that wait for work, the last to come first.
    idle: Vec<Arc<Notify>>,
    workers: usize,
    workers_wanted: usize,
    foreman: Arc<Notify>,
    alarm: time::Alarm,
}

/// A delivery that waits for its next attempt.
struct Held {
    job: Job,
    /// Those behind it in its lane pass, and it lines up again.
    open: bool,
}

struct Limits {
    workers: usize,
    max_unsettled: usize,
    max_bytes: usize,
    max_settling: usize,
    lanes: bool,
}

/// What a worker is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Handle what it was given.
    Work,
    /// Wait until it is woken.
    Park,
    /// End: nothing will come any more.
    Leave,
}

/// Deliveries that are settled before anybody handled them.
pub(super) struct Unstarted<R> {
    /// The lease is over.
    pub(super) lost: Vec<Slot<R>>,
    /// Handled before; only the acknowledgement is missing.
    pub(super) handled_before: Vec<Slot<R>>,
    /// Too late to be started.
    pub(super) released: Vec<Slot<R>>,
}

impl<R> Default for Unstarted<R> {
    fn default() -> Self {
        Self { lost: Vec::new(), handled_before: Vec::new(), released: Vec::new() }
    }
}

impl<R: Clone> Schedule<R> {
    pub(super) fn new<'a>(
        options: &Options,
        queues: impl IntoIterator<Item = (&'a Capabilities, u32)>,
        foreman: Arc<Notify>,
        timekeeper: Arc<Notify>,
    ) -> Self {
        let mut lines: Vec<Line> =
            queues.into_iter().map(|(capabilities, weight)| Line::new(capabilities, weight)).collect();
        let max_unsettled = options.max_unsettled().get();
        share_out(&mut lines, max_unsettled);
        let limits = Limits {
            workers: options.concurrency,
            max_unsettled,
            max_bytes: options.max_bytes,
            max_settling: max_unsettled.saturating_mul(4).max(1024),
            lanes: options.lanes != Lanes::Off,
        };
        Self {
            limits,
            lines,
            slots: Slab::new(),
            crew: Slab::new(),
            lanes: HashMap::new(),
            held: BTreeMap::new(),
            hasher: RandomState::new(),
            bytes: 0,
            deliveries: 0,
            virtual_time: 0,
            paused_until: None,
            draining: false,
            idle: Vec::new(),
            workers: 0,
            workers_wanted: 0,
            foreman,
            alarm: time::Alarm::new(timekeeper),
        }
    }

    /// Takes in what was fetched. What cannot be started any more, or was handled before, is sorted out.
    pub(super) fn admit(
        &mut self,
        at: usize,
        deliveries: &mut Vec<Delivery<R>>,
        now: Instant,
        unstarted: &mut Unstarted<R>,
    ) {
        let terms = self.lines[at].lease;
        // The most that a renewal may be ahead of its lease's end.
        let lead = terms.map(|terms| if terms.renewable { terms.ttl / 2 + terms.ttl / 8 } else { Duration::ZERO });
        for Delivery { message, receipt, lease_until, lane, .. } in deliveries.drain(..) {
            self.deliveries += 1;
            let lane = if self.limits.lanes {
                lane.or_else(|| message.key().map(|key| self.hasher.hash_one(key)))
            } else {
                None
            };
            let slot = Slot {
                receipt,
                delivery: self.deliveries,
                line: at,
                id: message.id().cloned(),
                until: terms.map(|terms| lease_until.unwrap_or(now + terms.ttl)),
                local_attempts: 0,
                lost: false,
                received: now,
                renewing: false,
                renew_after: None,
                bytes: message.size_bytes(),
                lane,
                running: false,
                holder: Holder::None,
                control: None,
            };
            if self.draining {
                unstarted.released.push(slot);
                self.lines[at].settling += 1;
                continue;
            }
            if self.lines[at].recall(&message, now) {
                unstarted.handled_before.push(slot);
                self.lines[at].settling += 1;
                continue;
            }
            // Hardly ever so, as those fetched before are due before.
            let earliest = slot.until.zip(lead).and_then(|(until, lead)| until.checked_sub(lead));
            if earliest.is_some_and(|earliest| self.alarm.is_after(earliest)) {
                let renew_at = terms.and_then(|terms| slot.renew_at(terms));
                renew_at.into_iter().for_each(|renew_at| self.alarm.set(renew_at));
            }
            self.bytes += slot.bytes;
            self.lines[at].outstanding += 1;
            let job = Job { message, key: self.slots.insert(slot) };
            match lane {
                Some(_) => self.line_up(at, lane, job),
                None => self.lines[at].ready.push_back(job),
            }
        }
        if self.is_any_ready() {
            self.wake_worker();
        }
    }

    /// Fills a worker's tasks up to `max`, or tells it to wait or to leave. One that is to wait is woken
    /// through `bell`. Handlers see the lease of `holder`; without one each is [attached](Self::attach).
    pub(super) fn take(
        &mut self,
        max: usize,
        now: Instant,
        bell: &Arc<Notify>,
        holder: Holder,
        tasks: &mut VecDeque<Task>,
        unstarted: &mut Unstarted<R>,
    ) -> Turn {
        if self.draining {
            return if tasks.is_empty() { Turn::Leave } else { Turn::Work };
        }
        if self.paused_until.is_none() {
            while tasks.len() < max {
                let Some((line, job)) = self.choose() else { break };
                let slot = &mut self.slots[job.key];
                if slot.lost || slot.until.is_some_and(|until| until <= now) {
                    let slot = self.remove(job.key);
                    unstarted.lost.push(slot);
                    continue;
                }
                slot.running = true;
                slot.holder = holder;
                self.lines[line].running += 1;
                let Slot { delivery, until, local_attempts, .. } = *slot;
                tasks.push_back(Task { job, delivery, line, until, local_attempts });
            }
            // The one woken wakes the next: as many as there is work for, and no more.
            if self.is_any_ready() {
                self.wake_worker();
            }
            self.wake_pumps();
        }
        if tasks.is_empty() {
            self.idle.push(Arc::clone(bell));
            return Turn::Park;
        }
        Turn::Work
    }

    /// The next job by weight, taken out of its line.
    fn choose(&mut self) -> Option<(usize, Job)> {
        let chosen = if self.lines.len() == 1 {
            0
        } else {
            let now = self.virtual_time;
            let waiting = self.lines.iter().enumerate().filter(|(_, line)| !line.ready.is_empty());
            waiting.min_by_key(|(_, line)| line.virtual_start(now))?.0
        };
        let line = &mut self.lines[chosen];
        let job = line.ready.pop_front()?;
        self.virtual_time = line.choose(self.virtual_time);
        Some((chosen, job))
    }

    /// Hands a running delivery the lease its handler sees, and returns when that ends.
    pub(super) fn attach(&mut self, key: usize, control: &LeaseControl) -> Option<Instant> {
        let slot = &mut self.slots[key];
        slot.control = Some(control.clone());
        slot.until
    }

    /// Takes back jobs a worker has not started, in their old place. Returns those that are too late to be
    /// started by another.
    pub(super) fn give_back(&mut self, tasks: &mut VecDeque<Task>) -> Vec<Slot<R>> {
        if tasks.is_empty() {
            return Vec::new();
        }
        if self.draining {
            return tasks.drain(..).filter_map(|task| self.finish(task.job.key)).collect();
        }
        while let Some(Task { job, line, .. }) = tasks.pop_back() {
            let slot = &mut self.slots[job.key];
            slot.running = false;
            slot.holder = Holder::None;
            self.lines[line].running -= 1;
            self.lines[line].ready.push_front(job);
        }
        self.wake_worker();
        Vec::new()
    }

    /// Whether the lease of a delivery is lost.
    pub(super) fn is_lost(&self, key: usize) -> bool {
        self.slots.get(key).is_some_and(|slot| slot.lost)
    }

    /// The id of a delivery.
    pub(super) fn id(&self, key: usize) -> Option<MessageId> {
        self.slots.get(key).and_then(|slot| slot.id.clone())
    }

    /// Ends a delivery: it is to be settled, and its lane goes on. `None` if it was
    /// [abandoned](Self::abandon) before. The room it leaves is [used](Self::use_room) by others once all
    /// are ended that end now.
    #[inline]
    pub(super) fn finish(&mut self, key: usize) -> Option<Slot<R>> {
        let slot = self.slots.try_remove(key)?;
        self.account(&slot);
        Some(slot)
    }

    /// Keeps a failed delivery here until its next attempt. With `open` those behind it pass.
    pub(super) fn hold(&mut self, key: usize, message: Message, due: Instant, open: bool) {
        let slot = &mut self.slots[key];
        let (line, delivery) = (slot.line, slot.delivery);
        slot.local_attempts += 1;
        slot.holder = Holder::None;
        slot.control = None;
        self.lines[line].running -= usize::from(std::mem::take(&mut slot.running));
        if let Some(lane) = slot.lane.filter(|_| open) {
            self.open_lane(line, lane);
        }
        self.lines[line].held += 1;
        self.wake_pump(line);
        self.held.insert((due, delivery), Held { job: Job { message, key }, open });
        self.alarm.set(due);
    }

    /// Begins the drain: what was not started is taken out, and nothing more is handed out.
    pub(super) fn drain(&mut self) -> Vec<Slot<R>> {
        self.draining = true;
        let held = std::mem::take(&mut self.held).into_values().map(|held| held.job);
        self.lines.iter_mut().for_each(|line| line.held = 0);
        let lanes = std::mem::take(&mut self.lanes).into_values().flatten();
        let ready = self.lines.iter_mut().flat_map(|line| std::mem::take(&mut line.ready));
        let mut keys: Vec<usize> = held.chain(ready).chain(lanes).map(|job| job.key).collect();
        // In the order they came, so that a broker that puts them back keeps it.
        keys.sort_by_key(|key| self.slots[*key].delivery);
        let unstarted = keys.into_iter().map(|key| self.remove(key)).collect();
        self.idle.drain(..).for_each(|bell| bell.notify_one());
        unstarted
    }

    /// Takes out whatever is left, whoever has it.
    pub(super) fn abandon(&mut self) -> Vec<Slot<R>> {
        let keys: Vec<usize> = self.slots.iter().map(|(key, _)| key).collect();
        keys.into_iter().map(|key| self.remove(key)).collect()
    }

    /// Tells every running handler to stop.
    pub(super) fn cancel_all(&mut self, reason: Cancelled) {
        for (_, slot) in &self.slots {
            if let Some(control) = slot.control(&self.crew) {
                control.cancel(slot.delivery, reason);
            }
        }
    }

    /// Takes note of how many settlements of a queue are done with.
    pub(super) fn settled(&mut self, line: usize, count: usize) {
        self.lines[line].settling -= count;
        self.wake_pump(line);
    }

    /// How many deliveries are here, and when the oldest was received.
    pub(super) fn load(&self) -> (usize, Option<Instant>) {
        (self.slots.len(), self.slots.iter().map(|(_, slot)| slot.received).min())
    }

    fn remove(&mut self, key: usize) -> Slot<R> {
        let slot = self.slots.remove(key);
        self.account(&slot);
        slot
    }

    #[inline]
    fn account(&mut self, slot: &Slot<R>) {
        let line = &mut self.lines[slot.line];
        line.outstanding -= 1;
        line.running -= usize::from(slot.running);
        line.settling += 1;
        self.bytes -= slot.bytes;
        if let Some(lane) = slot.lane {
            self.open_lane(slot.line, lane);
        }
    }

    /// Has a delivery wait for a worker, behind those of its lane.
    fn line_up(&mut self, line: usize, lane: Option<u64>, job: Job) {
        match lane.map(|lane| self.lanes.entry((line, lane))) {
            Some(Entry::Occupied(mut busy)) => busy.get_mut().push_back(job),
            Some(Entry::Vacant(free)) => {
                free.insert(VecDeque::new());
                self.lines[line].ready.push_back(job);
            }
            None => self.lines[line].ready.push_back(job),
        }
    }

    /// Lets the next of a lane go, or forgets the lane.
    fn open_lane(&mut self, line: usize, lane: u64) {
        let Entry::Occupied(mut busy) = self.lanes.entry((line, lane)) else { return };
        match busy.get_mut().pop_front() {
            Some(next) => {
                self.lines[line].ready.push_back(next);
                self.wake_worker();
            }
            None => drop(busy.remove()),
        }
    }

    fn is_any_ready(&self) -> bool {
        self.lines.iter().any(|line| !line.ready.is_empty())
    }
}
