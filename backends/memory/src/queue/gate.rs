//! [`Gate`], where publishers come in and wait for room, and where consumers wait for them.

use std::collections::{HashMap, VecDeque};
use std::task::Waker;
use std::time::Duration;

use chappe_core::{Message, MessageId, Published};
use tokio::time::Instant;

use super::store::{Incoming, Store};

/// The publishers' side of a queue. Held for a few instructions per message, never while anything is
/// dropped, cloned or woken.
pub(super) struct Gate {
    inbox: Vec<Incoming>,
    /// Messages to be held back, kept apart so that they need not wait for the inbox to be read.
    timed: Vec<Incoming>,
    last: u64,
    uncounted: u64,
    limits: Limits,
    /// Room that is taken, by messages held and by places granted.
    messages: usize,
    bytes: usize,
    granted: usize,
    waiting: VecDeque<Waiter>,
    tickets: u64,
    idle: VecDeque<Idle>,
    seen: Seen,
    shut: bool,
    /// An emptied list for the store to use again.
    pub(super) spare: Vec<Message>,
}

/// How much a queue may hold.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) messages: usize,
    pub(super) bytes: usize,
    pub(super) ordered: bool,
}

/// Somebody who waits for room. One that waits for `ready` only wants to know that there is some.
struct Waiter {
    ticket: u64,
    bytes: usize,
    ready: bool,
    waker: Waker,
}

/// A consumer that waits, and until when it does in any case.
struct Idle {
    ticket: u64,
    due: Option<Instant>,
    waker: Waker,
}

/// On what grounds a message comes in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// If there is room and nobody waits for it.
    Asked,
    /// On room that was granted.
    Granted,
    /// In any case.
    Forced,
}

/// What came of it.
pub(super) enum Admission {
    Accepted(Published),
    /// It is here already. Room that was granted for it is still to be given back.
    Duplicate(Published),
    /// The queue is shut. Room that was granted is still to be given back.
    Closed,
    /// There is no room.
    Full(Message),
}

impl Gate {
    pub(super) fn new(limits: Limits, seen: Seen) -> Self {
        Self {
            inbox: Vec::new(),
            timed: Vec::new(),
            last: 0,
            uncounted: 0,
            limits,
            messages: 0,
            bytes: 0,
            granted: 0,
            waiting: VecDeque::new(),
            tickets: 0,
            idle: VecDeque::new(),
            seen,
            shut: false,
            spare: Vec::new(),
        }
    }

    /// Takes a message in.
    #[inline(always)]
    pub(super) fn admit(&mut self, mut message: Message, bytes: usize, entry: Entry) -> Admission {
        if self.shut && entry != Entry::Forced {
            return Admission::Closed;
        }
        if let Some(id) = message.id() {
            if entry != Entry::Forced && self.seen.has(id) {
                return Admission::Duplicate(Published::new(Some(id.clone())).duplicate());
            }
        }
        match entry {
            Entry::Asked if !self.waiting.is_empty() || !self.fits(bytes) => return Admission::Full(message),
            Entry::Granted => self.granted -= 1,
            Entry::Asked | Entry::Forced => {
                self.messages += 1;
                self.bytes += bytes;
            }
        }
        self.last += 1;
        self.uncounted += 1;
        let seq = self.last;
        let id = match message.id() {
            Some(id) => {
                if entry != Entry::Forced {
                    self.seen.note(id);
                }
                id.clone()
            }
            // The message gets it when it is fetched.
            None => MessageId::from_u64(seq),
        };
        let delay = message.delay();
        if delay.is_some() {
            message.set_delay(None);
        }
        let due = delay.filter(|delay| !delay.is_zero()).and_then(|delay| Instant::now().checked_add(delay));
        let in_lane = self.limits.ordered && message.key().is_some();
        let incoming = Incoming { seq, message: Some(message), due };
        // A lane keeps the order of publishing, so what is to be held back in one has to take its turn.
        if due.is_some() && !in_lane {
            self.timed.push(incoming);
        } else {
            self.inbox.push(incoming);
        }
        Admission::Accepted(Published::new(Some(id)))
    }

    /// How many messages have come in that nobody has counted.
    pub(super) fn uncounted(&mut self) -> u64 {
        std::mem::take(&mut self.uncounted)
    }

    /// Hands over what has come in. Reads the inbox only when the last one is used up.
    pub(super) fn pour_into(&mut self, store: &mut Store) {
        store.pour(&mut self.inbox, self.last);
        for incoming in self.timed.drain(..) {
            store.hold_back(incoming);
        }
        if store.done.capacity() == 0 {
            std::mem::swap(&mut store.done, &mut self.spare);
        }
    }

    /// Whether something has come in since.
    pub(super) fn has_news(&self) -> bool {
        !self.inbox.is_empty() || !self.timed.is_empty()
    }

    pub(super) fn news(&self) -> (usize, usize) {
        (self.inbox.len(), self.timed.len())
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = (u64, &Message)> {
        let all = self.inbox.iter().chain(&self.timed);
        all.filter_map(|incoming| incoming.message.as_ref().map(|message| (incoming.seq, message)))
    }

    /// How many messages are held.
    pub(super) fn len(&self) -> usize {
        self.messages - self.granted
    }

    pub(super) fn is_full(&self) -> bool {
        !self.waiting.is_empty() || !self.fits(0)
    }

    pub(super) fn is_shut(&self) -> bool {
        self.shut
    }

    /// Gives room back, and passes it on to those who wait, in their order.
    pub(super) fn free(&mut self, messages: usize, bytes: usize, woken: &mut Vec<Waker>) {
        self.messages -= messages;
        self.bytes -= bytes;
        while let Some(first) = self.waiting.front() {
            if !self.fits(first.bytes) {
                break;
            }
            let Some(first) = self.waiting.pop_front() else { break };
            if !first.ready {
                self.messages += 1;
                self.bytes += first.bytes;
                self.granted += 1;
            }
            woken.push(first.waker);
        }
    }

    /// Lines up for room for a message of so many bytes, or for word of some where `bytes` is `None`.
    pub(super) fn line_up(&mut self, bytes: Option<usize>, waker: Waker) -> u64 {
        let ticket = self.ticket();
        self.waiting.push_back(Waiter { ticket, bytes: bytes.unwrap_or(0), ready: bytes.is_none(), waker });
        ticket
    }

    /// Whether the holder of a ticket still waits; if so, it is woken through `waker` from now on.
    pub(super) fn still_waits(&mut self, ticket: u64, waker: &Waker) -> bool {
        match self.waiting.iter_mut().find(|waiter| waiter.ticket == ticket) {
            Some(waiter) => {
                waiter.waker.clone_from(waker);
                true
            }
            None => false,
        }
    }

    /// Gives up a place in the line, and the room where it was granted.
    pub(super) fn leave(&mut self, ticket: u64, bytes: Option<usize>, woken: &mut Vec<Waker>) {
        if let Some(at) = self.waiting.iter().position(|waiter| waiter.ticket == ticket) {
            self.waiting.remove(at);
            // Whoever stood behind may need less room.
            self.free(0, 0, woken);
        } else if let Some(bytes) = bytes {
            self.granted -= 1;
            self.free(1, bytes, woken);
        }
    }

    /// Refuses publishers from now on.
    pub(super) fn shut(&mut self, woken: &mut Vec<Waker>) {
        self.shut = true;
        self.stir(woken);
        self.wake_all(woken);
    }

    pub(super) fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Has a consumer wait.
    pub(super) fn sit(&mut self, ticket: u64, due: Option<Instant>, waker: Waker) {
        self.idle.push_back(Idle { ticket, due, waker });
    }

    /// Takes a consumer out of those that wait; `false` when it was woken already.
    pub(super) fn rise(&mut self, ticket: u64) -> bool {
        let at = self.idle.iter().position(|idle| idle.ticket == ticket);
        at.is_some_and(|at| self.idle.remove(at).is_some())
    }

    pub(super) fn idle(&self) -> usize {
        self.idle.len()
    }

    /// The consumer to wake for something new.
    pub(super) fn wake_one(&mut self) -> Option<Waker> {
        self.idle.pop_front().map(|idle| idle.waker)
    }

    /// The consumer to wake for something that is ready now or will be at `due`, where none of those that
    /// wait would look in time.
    pub(super) fn wake_for(&mut self, ready: bool, due: Option<Instant>) -> Option<Waker> {
        let unseen = due.is_some_and(|due| !self.idle.iter().any(|idle| idle.due.is_some_and(|by| by <= due)));
        if ready || unseen { self.wake_one() } else { None }
    }

    pub(super) fn wake_all(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(self.idle.drain(..).map(|idle| idle.waker));
    }

    /// Wakes publishers that wait without giving them anything.
    pub(super) fn stir(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(self.waiting.iter().map(|waiter| waiter.waker.clone()));
    }

    fn fits(&self, bytes: usize) -> bool {
        self.messages < self.limits.messages
            && bytes <= self.limits.bytes.saturating_sub(self.bytes)
            && self.bytes < self.limits.bytes
    }
}

/// The ids that were published lately.
pub(super) struct Seen {
    window: Duration,
    max: usize,
    ids: HashMap<MessageId, Instant>,
    order: VecDeque<(Instant, MessageId)>,
}

impl Seen {
    /// Remembers up to `max` ids, each for as long as `window`.
    pub(super) fn new(window: Duration, max: usize) -> Self {
        Self { window, max, ids: HashMap::new(), order: VecDeque::new() }
    }

    fn has(&self, id: &MessageId) -> bool {
        self.ids.get(id).is_some_and(|at| at.elapsed() < self.window)
    }

    fn note(&mut self, id: &MessageId) {
        if self.max == 0 || self.window.is_zero() {
            return;
        }
        let now = Instant::now();
        while let Some((at, _)) = self.order.front() {
            if now.duration_since(*at) < self.window && self.order.len() < self.max {
                break;
            }
            let Some((at, old)) = self.order.pop_front() else { break };
            // Published again since, it has a newer entry.
            if self.ids.get(&old) == Some(&at) {
                self.ids.remove(&old);
            }
        }
        self.ids.insert(id.clone(), now);
        self.order.push_back((now, id.clone()));
    }
}
