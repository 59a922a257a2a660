//! [`Line`], what waits for one subscriber, and what happens when it is too much.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, SystemTime};

use chappe_core::Message;
use chappe_core::backend::{Overflow, Signal};

use super::hub::Handle;

/// One subscription, as the hub sees it.
pub(super) struct Line {
    pub(super) topic: Arc<str>,
    pub(super) handle: Arc<Handle>,
    pub(super) echo: bool,
    buffer: usize,
    overflow: Overflow,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    signals: VecDeque<Signal>,
    /// How many of the signals are messages; marks take no room.
    messages: usize,
    /// Messages of publishers that wait for room, in their order.
    blocked: VecDeque<Blocked>,
    tickets: u64,
    end: Option<End>,
    waker: Option<Waker>,
}

struct Blocked {
    ticket: u64,
    message: Message,
    waker: Option<Waker>,
}

/// Why nothing more will come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The subscriber wanted no more, or the bus was closed.
    Stopped,
    /// The subscriber was too slow.
    Disconnected,
}

/// What became of a message for one subscriber.
pub(super) enum Put {
    Done,
    /// The publisher has to wait for this long at most.
    Blocked(u64, Duration),
}

/// What to wake and what to drop once no lock is held.
#[derive(Default)]
pub(super) struct After {
    woken: Vec<Waker>,
    dropped: Vec<Message>,
}

impl Line {
    pub(super) fn new(topic: Arc<str>, handle: Arc<Handle>, echo: bool, buffer: usize, overflow: Overflow) -> Self {
        Self { topic, handle, echo, buffer, overflow, state: Mutex::default() }
    }

    /// Adds a message, by the rule for overflow.
    pub(super) fn put(&self, message: Message, after: &mut After) -> Put {
        let mut state = self.lock();
        if state.end.is_some() {
            after.dropped.push(message);
            return Put::Done;
        }
        if state.messages < self.buffer && state.blocked.is_empty() {
            state.push(message, after);
            return Put::Done;
        }
        match self.overflow {
            Overflow::DropOldest => {
                state.drop_oldest(after);
                state.push(message, after);
            }
            Overflow::DropNewest => {
                state.lag(after);
                after.dropped.push(message);
            }
            Overflow::Block { timeout } => {
                state.tickets += 1;
                let ticket = state.tickets;
                state.blocked.push_back(Blocked { ticket, message, waker: None });
                return Put::Blocked(ticket, timeout);
            }
            // `Disconnect`, and what is not known yet: a subscriber must never miss something unawares.
            _ => {
                state.end(End::Disconnected, after);
                after.dropped.push(message);
            }
        }
        self.handle.status.count_dropped(1);
        Put::Done
    }

    /// Tells the subscriber that it may have missed something.
    pub(super) fn gap(&self, after: &mut After) {
        let mut state = self.lock();
        if state.end.is_none() && !matches!(state.signals.back(), Some(Signal::Gap)) {
            state.signals.push_back(Signal::Gap);
            after.woken.extend(state.waker.take());
        }
    }

    /// Lets nothing more in. What waits can still be received.
    pub(super) fn end(&self, end: End, after: &mut After) {
        self.lock().end(end, after);
    }

    /// Whether a publisher still waits; if so, it is woken through `waker`.
    pub(super) fn is_blocked(&self, ticket: u64, waker: &Waker) -> bool {
        let mut state = self.lock();
        let blocked = state.blocked.iter_mut().find(|blocked| blocked.ticket == ticket);
        blocked.is_some_and(|blocked| {
            blocked.waker = Some(waker.clone());
            true
        })
    }

    /// Takes back the message of a publisher that waits no longer; `false` when it went through.
    pub(super) fn unblock(&self, ticket: u64, after: &mut After) -> bool {
        let mut state = self.lock();
        let at = state.blocked.iter().position(|blocked| blocked.ticket == ticket);
        let blocked = at.and_then(|at| state.blocked.remove(at));
        let found = blocked.is_some();
        after.dropped.extend(blocked.map(|blocked| blocked.message));
        found
    }

    /// Moves up to `max` signals to `out`, or has the subscriber woken through `waker`. Messages that have expired are
    /// dropped.
    pub(super) fn take(&self, max: usize, out: &mut Vec<Signal>, waker: &Waker) -> Took {
        let mut after = After::default();
        let mut state = self.lock();
        let first = out.len();
        while out.len() - first < max {
            let Some(signal) = state.next(self.buffer, &mut after) else { break };
            match signal {
                Signal::Message(message) if message.expires().is_some_and(|end| end <= SystemTime::now()) => {
                    after.dropped.push(message);
                }
                signal => out.push(signal),
            }
        }
        let took = match (out.len() > first, state.end) {
            (true, _) => Took::Some,
            (false, Some(end)) => Took::Ended(end),
            (false, None) => {
                if state.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
                    state.waker = Some(waker.clone());
                }
                Took::Nothing
            }
        };
        drop(state);
        let received = out[first..].iter().filter(|signal| matches!(signal, Signal::Message(_))).count();
        self.handle.status.count_received(received as u64);
        self.handle.status.count_dropped(after.dropped.len() as u64);
        after.run();
        took
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a subscriber received.
pub(super) enum Took {
    Some,
    Nothing,
    Ended(End),
}

impl State {
    /// The next signal, in whose place the first of the publishers that wait for room has its message.
    fn next(&mut self, buffer: usize, after: &mut After) -> Option<Signal> {
        let signal = self.signals.pop_front()?;
        if matches!(signal, Signal::Message(_)) {
            self.messages -= 1;
        }
        while self.messages < buffer {
            let Some(blocked) = self.blocked.pop_front() else { break };
            after.woken.extend(blocked.waker);
            self.push(blocked.message, after);
        }
        Some(signal)
    }

    fn push(&mut self, message: Message, after: &mut After) {
        self.messages += 1;
        self.signals.push_back(Signal::Message(message));
        after.woken.extend(self.waker.take());
    }

    /// Drops the oldest message and leaves a mark in its place.
    fn drop_oldest(&mut self, after: &mut After) {
        let Some(at) = self.signals.iter().position(|signal| matches!(signal, Signal::Message(_))) else { return };
        self.messages -= 1;
        let oldest = match at.checked_sub(1).and_then(|before| self.signals.get_mut(before)) {
            Some(Signal::Lagged(missed)) => {
                *missed += 1;
                self.signals.remove(at)
            }
            _ => self.signals.get_mut(at).map(|place| std::mem::replace(place, Signal::Lagged(1))),
        };
        if let Some(Signal::Message(message)) = oldest {
            after.dropped.push(message);
        }
    }

    /// Marks a message that was dropped behind all that wait.
    fn lag(&mut self, after: &mut After) {
        if let Some(Signal::Lagged(missed)) = self.signals.back_mut() {
            *missed += 1;
        } else {
            self.signals.push_back(Signal::Lagged(1));
            after.woken.extend(self.waker.take());
        }
    }

    fn end(&mut self, end: End, after: &mut After) {
        if self.end.is_some() {
            return;
        }
        self.end = Some(end);
        after.woken.extend(self.waker.take());
        for blocked in self.blocked.drain(..) {
            after.woken.extend(blocked.waker);
            after.dropped.push(blocked.message);
        }
    }
}

impl After {
    pub(super) fn run(self) {
        self.woken.into_iter().for_each(Waker::wake);
    }
}
