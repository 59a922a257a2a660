//! [`Store`], what the queue holds and who may have it when. Knows no locks, tasks or clocks.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use chappe_core::{Key, Message};
use tokio::time::Instant;

use super::MemoryReceipt;
use crate::fault::Faults;

/// No slot.
const NONE: u32 = u32::MAX;

/// Why a slot that is named has a message.
const OCCUPIED: &str = "only free slots have no message, and nobody names those";

/// Where a message stands among those that are ready: its number when it was accepted or last put off,
/// and a count that tells apart those put off at the same number.
type Place = (u64, u64);

/// When a lease ends, the slot, and which delivery of it.
type LeaseEntry = (Instant, u32, u32);

/// A message on its way in.
pub(super) struct Incoming {
    pub(super) seq: u64,
    pub(super) message: Message,
    pub(super) due: Option<Instant>,
}

/// The consumers' side of a queue. Publishers never wait for it: what they published comes in batches.
///
/// A message that was never fetched stays in `fresh`; it gets a slot when it is fetched or has to wait for
/// something. Heaps may name slots that have moved on: entries are checked when they surface.
pub(super) struct Store {
    pub(super) fresh: VecDeque<Incoming>,
    slots: Vec<Slot>,
    free: u32,
    /// Ready again, in their old or new place.
    again: BinaryHeap<Reverse<(Place, u32)>>,
    delayed: BinaryHeap<Reverse<(Instant, Place, u32)>>,
    /// Leases as they were given, which is in the order in which they end.
    leases: VecDeque<LeaseEntry>,
    /// Leases that were extended.
    extended: BinaryHeap<Reverse<LeaseEntry>>,
    /// The last slot in each lane; the first is the one not `Behind`.
    lanes: HashMap<Key, u32>,
    ordered: bool,
    /// The highest number known to be accepted.
    pub(super) last: u64,
    ties: u64,
    in_flight: usize,
    behind: usize,
    /// Messages that are done with, for the caller to drop outside the lock.
    pub(super) done: Vec<Message>,
}

struct Slot {
    /// `None` while the slot is free.
    message: Option<Message>,
    seq: u64,
    place: Place,
    due: Option<Instant>,
    until: Instant,
    generation: u32,
    /// The next in the lane, or the next free slot.
    next: u32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Free,
    Behind,
    Ready,
    Delayed,
    InFlight,
}

/// How many messages are where.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) ready: usize,
    pub(super) delayed: usize,
    pub(super) in_flight: usize,
}

impl Store {
    pub(super) fn new(ordered: bool) -> Self {
        Self {
            fresh: VecDeque::new(),
            slots: Vec::new(),
            free: NONE,
            again: BinaryHeap::new(),
            delayed: BinaryHeap::new(),
            leases: VecDeque::new(),
            extended: BinaryHeap::new(),
            lanes: HashMap::new(),
            ordered,
            last: 0,
            ties: 0,
            in_flight: 0,
            behind: 0,
            done: Vec::new(),
        }
    }

    /// Makes ready what is due by `now`: delays that have passed, and leases that have ended.
    pub(super) fn advance(&mut self, now: Instant) {
        while let Some(&Reverse((due, _, slot))) = self.delayed.peek() {
            if due > now {
                break;
            }
            self.delayed.pop();
            let place = self.place_behind_all();
            self.make_ready(slot, place);
        }
        while self.first_lease().is_some_and(|until| until <= now) {
            let first = self.leases.front().copied();
            let extended = self.extended.peek().map(|Reverse(entry)| *entry);
            let entry = match (first, extended) {
                (Some(first), Some(extended)) if extended < first => self.extended.pop().map(|Reverse(entry)| entry),
                (None, _) => self.extended.pop().map(|Reverse(entry)| entry),
                _ => self.leases.pop_front(),
            };
            if let Some((_, slot, _)) = entry {
                self.in_flight -= 1;
                self.make_ready(slot, self.slots[slot as usize].place);
            }
        }
    }

    /// Ends all leases.
    pub(super) fn expire(&mut self) {
        self.leases.clear();
        self.extended.clear();
        for slot in 0..self.slots.len() as u32 {
            if self.slots[slot as usize].state == State::InFlight {
                self.in_flight -= 1;
                self.make_ready(slot, self.slots[slot as usize].place);
            }
        }
    }

    /// Takes a message that is to be held back first, outside the order of keys.
    pub(super) fn hold_back(&mut self, incoming: Incoming) {
        let due = incoming.due;
        let slot = self.occupy(incoming);
        match due {
            Some(due) => self.delay(slot, due),
            None => self.make_ready(slot, self.slots[slot as usize].place),
        }
    }

    /// Leases up to `max` messages until `until`, and hands a copy and a receipt of each to `deliver`.
    pub(super) fn take(
        &mut self,
        max: usize,
        now: Instant,
        until: Instant,
        faults: &Faults,
        mut deliver: impl FnMut(Message, MemoryReceipt),
    ) -> usize {
        let mut taken = 0;
        while taken < max {
            let Some(slot) = self.next_ready(now) else { break };
            let entry = &mut self.slots[slot as usize];
            entry.state = State::InFlight;
            entry.until = until;
            entry.generation = entry.generation.wrapping_add(1);
            let message = entry.message.as_mut().expect(OCCUPIED);
            message.set_attempt(message.attempt() + 1);
            let receipt = MemoryReceipt { seq: entry.seq, slot, generation: entry.generation };
            deliver(message.clone(), receipt);
            taken += 1;
            if faults.on_delivery() {
                let place = entry.place;
                self.make_ready(slot, place);
            } else {
                self.leases.push_back((until, slot, receipt.generation));
                self.in_flight += 1;
            }
        }
        // Settled messages leave their entry behind; one long handler in front must not keep them all.
        if self.leases.len() + self.extended.len() > 2 * self.in_flight + 64 {
            let (mut leases, mut extended) = (std::mem::take(&mut self.leases), std::mem::take(&mut self.extended));
            leases.retain(|&entry| self.is_leased(entry));
            extended.retain(|&Reverse(entry)| self.is_leased(entry));
            (self.leases, self.extended) = (leases, extended);
        }
        taken
    }

    /// When something will be ready without anybody doing anything.
    pub(super) fn next_due(&mut self) -> Option<Instant> {
        let lease = self.first_lease();
        let delay = self.delayed.peek().map(|Reverse((due, ..))| *due);
        lease.into_iter().chain(delay).min()
    }

    /// Whether another fetch may find something now.
    pub(super) fn has_ready(&self) -> bool {
        !self.fresh.is_empty() || !self.again.is_empty()
    }

    /// The slot of a delivery whose lease lasts.
    pub(super) fn find(&self, receipt: MemoryReceipt, now: Instant) -> Option<u32> {
        let entry = self.slots.get(receipt.slot as usize)?;
        let held = entry.state == State::InFlight
            && entry.seq == receipt.seq
            && entry.generation == receipt.generation
            && entry.until > now;
        held.then_some(receipt.slot)
    }

    /// Forgets a leased message and opens its lane to the next.
    pub(super) fn remove(&mut self, slot: u32, now: Instant) -> Message {
        self.in_flight -= 1;
        self.vacate(slot, now)
    }

    /// Hands a leased message back in its old place, its attempt uncounted.
    pub(super) fn release(&mut self, slot: u32) {
        self.in_flight -= 1;
        let entry = &mut self.slots[slot as usize];
        let message = entry.message.as_mut().expect(OCCUPIED);
        message.set_attempt(message.attempt() - 1);
        let place = entry.place;
        self.make_ready(slot, place);
    }

    /// Puts a leased message off.
    pub(super) fn retry(&mut self, slot: u32, delay: Duration, now: Instant) {
        self.in_flight -= 1;
        let place = self.place_behind_all();
        match now.checked_add(delay) {
            Some(due) if !delay.is_zero() => {
                self.slots[slot as usize].place = place;
                self.delay(slot, due);
            }
            _ => self.make_ready(slot, place),
        }
    }

    /// Has the lease end at `until`.
    pub(super) fn extend(&mut self, slot: u32, until: Instant) {
        let entry = &mut self.slots[slot as usize];
        entry.until = until;
        self.extended.push(Reverse((until, slot, entry.generation)));
    }

    pub(super) fn counts(&self) -> Counts {
        let occupied = self.again.len() + self.behind;
        Counts { ready: self.fresh.len() + occupied, delayed: self.delayed.len(), in_flight: self.in_flight }
    }

    /// All messages, in the order of their places.
    pub(super) fn messages(&self) -> Vec<(u64, &Message)> {
        let held = self.slots.iter().filter_map(|entry| entry.message.as_ref().map(|message| (entry.place, message)));
        let mut all: Vec<(Place, &Message)> = held.collect();
        all.extend(self.fresh.iter().map(|incoming| ((incoming.seq, 0), &incoming.message)));
        all.sort_unstable_by_key(|(place, _)| *place);
        all.into_iter().map(|((seq, _), message)| (seq, message)).collect()
    }

    /// Takes out up to `max` messages that nobody has leased, those next in line first.
    pub(super) fn withdraw(&mut self, max: usize, now: Instant) -> Vec<Message> {
        let mut messages = Vec::new();
        while messages.len() < max {
            let Some(slot) = self.next_ready(now) else { break };
            messages.push(self.vacate(slot, now));
        }
        messages
    }

    /// Takes the next ready message out of its place.
    fn next_ready(&mut self, now: Instant) -> Option<u32> {
        loop {
            let again = self.again.peek().map(|Reverse((place, _))| *place);
            let fresh = self.fresh.front().map(|incoming| (incoming.seq, 0));
            match (again, fresh) {
                (None, None) => return None,
                (Some(again), Some(fresh)) if again < fresh => return self.again.pop().map(|Reverse((_, slot))| slot),
                (Some(_), None) => return self.again.pop().map(|Reverse((_, slot))| slot),
                (_, Some(_)) => {}
            }
            let incoming = self.fresh.pop_front()?;
            let lane = if self.ordered { incoming.message.key().cloned() } else { None };
            let slot = self.occupy(incoming);
            if lane.is_some_and(|key| self.queue_behind(key, slot)) {
                continue;
            }
            match self.slots[slot as usize].due {
                Some(due) if due > now => self.delay(slot, due),
                _ => return Some(slot),
            }
        }
    }

    /// Puts a slot at the end of its lane; `false` when it is the only one there.
    fn queue_behind(&mut self, key: Key, slot: u32) -> bool {
        let Some(before) = self.lanes.insert(key, slot) else { return false };
        self.slots[before as usize].next = slot;
        self.slots[slot as usize].state = State::Behind;
        self.behind += 1;
        true
    }

    fn occupy(&mut self, incoming: Incoming) -> u32 {
        let Incoming { seq, message, due } = incoming;
        if self.free == NONE {
            let slot = self.slots.len() as u32;
            let place = (seq, 0);
            let until = due.unwrap_or_else(Instant::now);
            self.slots.push(Slot {
                message: Some(message),
                seq,
                place,
                due,
                until,
                generation: 0,
                next: NONE,
                state: State::Ready,
            });
            return slot;
        }
        let slot = self.free;
        let entry = &mut self.slots[slot as usize];
        self.free = entry.next;
        entry.message = Some(message);
        entry.seq = seq;
        entry.place = (seq, 0);
        entry.due = due;
        entry.next = NONE;
        entry.state = State::Ready;
        slot
    }

    fn vacate(&mut self, slot: u32, now: Instant) -> Message {
        let entry = &mut self.slots[slot as usize];
        let message = entry.message.take().expect(OCCUPIED);
        let next = std::mem::replace(&mut entry.next, self.free);
        entry.state = State::Free;
        self.free = slot;
        if self.ordered {
            if let Some(key) = message.key() {
                self.open_lane(key, next, now);
            }
        }
        message
    }

    /// Makes `next` the head of the lane, or closes the lane down when there is none.
    fn open_lane(&mut self, key: &Key, next: u32, now: Instant) {
        if next == NONE {
            self.lanes.remove(key);
            return;
        }
        self.behind -= 1;
        let entry = &self.slots[next as usize];
        match entry.due {
            Some(due) if due > now => self.delay(next, due),
            _ => self.make_ready(next, entry.place),
        }
    }

    fn make_ready(&mut self, slot: u32, place: Place) {
        let entry = &mut self.slots[slot as usize];
        entry.state = State::Ready;
        entry.place = place;
        self.again.push(Reverse((place, slot)));
    }

    fn delay(&mut self, slot: u32, due: Instant) {
        let entry = &mut self.slots[slot as usize];
        entry.state = State::Delayed;
        self.delayed.push(Reverse((due, entry.place, slot)));
    }

    fn place_behind_all(&mut self) -> Place {
        self.ties += 1;
        (self.last, self.ties)
    }

    /// When the first lease ends.
    fn first_lease(&mut self) -> Option<Instant> {
        while self.leases.front().is_some_and(|&entry| !self.is_leased(entry)) {
            self.leases.pop_front();
        }
        while self.extended.peek().is_some_and(|&Reverse(entry)| !self.is_leased(entry)) {
            self.extended.pop();
        }
        let extended = self.extended.peek().map(|Reverse((until, ..))| *until);
        self.leases.front().map(|(until, ..)| *until).into_iter().chain(extended).min()
    }

    fn is_leased(&self, (until, slot, generation): LeaseEntry) -> bool {
        let entry = &self.slots[slot as usize];
        entry.state == State::InFlight && entry.generation == generation && entry.until == until
    }
}
