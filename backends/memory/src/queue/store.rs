//! [`Store`], what the queue holds and who may have it when. Knows no locks, tasks or clocks.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chappe_core::backend::Delivery;
use chappe_core::{Key, Message, MessageId};
use tokio::time::Instant;

use super::MemoryReceipt;
use super::shared::Shared;

/// No slot.
const NONE: u32 = u32::MAX;

/// Why a slot that is named has a message.
const OCCUPIED: &str = "only free slots have no message, and nobody names those";

/// The list a queue keeps however little it is used; a longer one is a burst's, and given back.
const IDLE_CAPACITY: usize = 1024;

/// Where a message stands among those that are ready: its number when it was accepted or last put off,
/// and a count that tells apart those put off at the same number.
type Place = (u64, u64);

/// When a lease ends, the slot, and which delivery of it.
type LeaseEntry = (Instant, u32, u32);

/// A message on its way in.
pub(super) struct Incoming {
    pub(super) seq: u64,
    /// `None` once it has been moved on.
    pub(super) message: Option<Message>,
    pub(super) due: Option<Instant>,
}

/// The consumers' side of a queue. Publishers never wait for it: what they published comes in batches.
///
/// A message that was never fetched stays in `fresh`; it gets a slot when it is fetched or has to wait for
/// something. Heaps may name slots that have moved on: entries are checked when they surface.
pub(super) struct Store {
    fresh: Vec<Incoming>,
    /// How many of `fresh` have been moved on.
    read: usize,
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
    /// The highest number known to be accepted, and the highest in `fresh`.
    last: u64,
    poured: u64,
    ties: u64,
    in_flight: usize,
    behind: usize,
    /// Messages that are done with, for the caller to drop outside the lock.
    pub(super) done: Vec<Message>,
}

struct Slot {
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

impl Slot {
    fn free() -> Self {
        let until = Instant::now();
        Self { message: None, seq: 0, place: (0, 0), due: None, until, generation: 0, next: NONE, state: State::Free }
    }
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
            fresh: Vec::new(),
            read: 0,
            slots: Vec::new(),
            free: NONE,
            again: BinaryHeap::new(),
            delayed: BinaryHeap::new(),
            leases: VecDeque::new(),
            extended: BinaryHeap::new(),
            lanes: HashMap::new(),
            ordered,
            last: 0,
            poured: 0,
            ties: 0,
            in_flight: 0,
            behind: 0,
            done: Vec::new(),
        }
    }

    /// Reads what has come in up to the number `last`, once all that came before is moved on: the two lists
    /// change places.
    pub(super) fn pour(&mut self, inbox: &mut Vec<Incoming>, last: u64) {
        self.last = last;
        if inbox.is_empty() {
            self.poured = last;
        }
        if self.read < self.fresh.len() || inbox.is_empty() {
            return;
        }
        self.poured = last;
        let used = self.fresh.len();
        self.fresh.clear();
        if self.fresh.capacity() > IDLE_CAPACITY.max(8 * used) {
            self.fresh.shrink_to(2 * used);
        }
        self.read = 0;
        std::mem::swap(&mut self.fresh, inbox);
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
        let Incoming { seq, mut message, due } = incoming;
        let slot = self.occupy(seq, due);
        self.slots[slot as usize].message = message.take();
        match due {
            Some(due) => self.delay(slot, due),
            None => self.make_ready(slot, self.slots[slot as usize].place),
        }
    }

    /// Leases up to `max` messages until `until`, and appends a copy of each to `out`.
    pub(super) fn take(
        &mut self,
        max: usize,
        now: Instant,
        until: Instant,
        shared: &Shared,
        out: &mut Vec<Delivery<MemoryReceipt>>,
    ) -> usize {
        let mut taken = 0;
        out.reserve(max.min(self.fresh.len() - self.read + self.again.len()));
        while taken < max {
            let Some(slot) = self.next_ready(now) else { break };
            let entry = &mut self.slots[slot as usize];
            entry.state = State::InFlight;
            entry.until = until;
            entry.generation = entry.generation.wrapping_add(1);
            let generation = entry.generation;
            let message = entry.message.as_mut().expect(OCCUPIED);
            message.set_attempt(message.attempt() + 1);
            out.push(Delivery::new(message.clone(), MemoryReceipt { seq: entry.seq, slot, generation }));
            // Changed where it is, rather than moved through one more pair of hands.
            if let Some(delivery) = out.last_mut() {
                delivery.lease_until = Some(until);
                delivery.message.set_source(Arc::clone(&shared.name));
                if delivery.message.id().is_none() {
                    delivery.message.set_id(MessageId::from_u64(entry.seq));
                }
            }
            taken += 1;
            if shared.faults.on_delivery() {
                let place = entry.place;
                self.make_ready(slot, place);
            } else {
                self.leases.push_back((until, slot, generation));
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
        self.read < self.fresh.len() || !self.again.is_empty()
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

    /// Moves a leased message to those that are done with, and opens its lane to the next.
    pub(super) fn finish(&mut self, slot: u32, now: Instant) {
        self.in_flight -= 1;
        self.vacate(slot, now);
        self.done.extend(self.slots[slot as usize].message.take());
    }

    /// Takes a leased message out, and opens its lane to the next.
    pub(super) fn remove(&mut self, slot: u32, now: Instant) -> Message {
        self.in_flight -= 1;
        self.vacate(slot, now);
        let entry = &mut self.slots[slot as usize];
        numbered(entry.message.take().expect(OCCUPIED), entry.seq)
    }

    /// A message in its slot.
    pub(super) fn message(&self, slot: u32) -> &Message {
        self.slots[slot as usize].message.as_ref().expect(OCCUPIED)
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
        Counts {
            ready: self.fresh.len() - self.read + occupied,
            delayed: self.delayed.len(),
            in_flight: self.in_flight,
        }
    }

    /// Copies of all messages, and the numbers of their places, in order.
    pub(super) fn messages(&self) -> Vec<(u64, Message)> {
        let held = self.slots.iter().filter_map(|entry| Some((entry.place, entry.seq, entry.message.as_ref()?)));
        let fresh = self.fresh.iter().filter_map(|new| Some(((new.seq, 0), new.seq, new.message.as_ref()?)));
        let mut all: Vec<_> = held.chain(fresh).collect();
        all.sort_unstable_by_key(|(place, ..)| *place);
        all.into_iter().map(|((place, _), seq, message)| (place, numbered(message.clone(), seq))).collect()
    }

    /// Takes out up to `max` messages that nobody has leased, those next in line first.
    pub(super) fn withdraw(&mut self, max: usize, now: Instant) -> Vec<Message> {
        let mut messages = Vec::new();
        while messages.len() < max {
            let Some(slot) = self.next_ready(now) else { break };
            self.vacate(slot, now);
            let entry = &mut self.slots[slot as usize];
            messages.extend(entry.message.take().map(|message| numbered(message, entry.seq)));
        }
        messages
    }

    /// Takes the next ready message out of its place.
    fn next_ready(&mut self, now: Instant) -> Option<u32> {
        loop {
            let again = self.again.peek().map(|Reverse((place, _))| *place);
            let fresh = self.fresh.get(self.read).map(|incoming| (incoming.seq, 0));
            match (again, fresh) {
                (None, None) => return None,
                (Some(again), Some(fresh)) if again < fresh => return self.again.pop().map(|Reverse((_, slot))| slot),
                // What has come in and was not read yet goes before what was put off since.
                (Some(again), None) if again.0 > self.poured => return None,
                (Some(_), None) => return self.again.pop().map(|Reverse((_, slot))| slot),
                (_, Some(_)) => {}
            }
            let Incoming { seq, due, .. } = self.fresh[self.read];
            let slot = self.occupy(seq, due);
            let entry = &mut self.slots[slot as usize];
            // From place to place: a message is large, and this is the hot path.
            entry.message = self.fresh[self.read].message.take();
            self.read += 1;
            if self.ordered {
                let key = entry.message.as_ref().and_then(Message::key).cloned();
                if key.is_some_and(|key| self.queue_behind(key, slot)) {
                    continue;
                }
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

    /// Finds a free slot; the message is the caller's to put in.
    fn occupy(&mut self, seq: u64, due: Option<Instant>) -> u32 {
        if self.free == NONE {
            self.free = self.slots.len() as u32;
            self.slots.push(Slot::free());
        }
        let slot = self.free;
        let entry = &mut self.slots[slot as usize];
        self.free = entry.next;
        entry.seq = seq;
        entry.place = (seq, 0);
        entry.due = due;
        entry.next = NONE;
        entry.state = State::Ready;
        slot
    }

    /// Frees a slot and opens its lane; the message is left in it for the caller to take out.
    fn vacate(&mut self, slot: u32, now: Instant) {
        let entry = &mut self.slots[slot as usize];
        let next = std::mem::replace(&mut entry.next, self.free);
        entry.state = State::Free;
        self.free = slot;
        if self.ordered {
            if let Some(key) = entry.message.as_ref().and_then(Message::key).cloned() {
                self.open_lane(&key, next, now);
            }
        }
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

/// Gives a message its number for an id, unless its publisher gave it one.
pub(super) fn numbered(mut message: Message, seq: u64) -> Message {
    if message.id().is_none() {
        message.set_id(MessageId::from_u64(seq));
    }
    message
}
