//! [`Line`], what waits for one subscriber, and what happens when it is too much.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, SystemTime};

use chappe_core::Message;
use chappe_core::backend::{Overflow, Signal, Status, SubscribeOptions};
use tokio::time::Instant;

/// The most bytes that are held for a subscriber that has publishers wait: those of other processes cannot
/// be made to, so their messages wait here.
const MAX_HELD_BYTES: usize = 16 << 20;

/// What a message takes beside its content, about.
const MESSAGE_BYTES: usize = 256;

/// One subscription, as the hub sees it.
pub(super) struct Line {
    pub(super) topic: Arc<str>,
    pub(super) echo: bool,
    buffer: usize,
    overflow: Overflow,
    status: Status,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    signals: VecDeque<Signal>,
    /// How many of the signals are messages; marks take no room.
    messages: usize,
    /// What came behind a full buffer that blocks.
    held: VecDeque<Held>,
    held_bytes: usize,
    end: Option<End>,
    waker: Option<Waker>,
}

struct Held {
    until: Option<Instant>,
    signal: Signal,
}

/// Why nothing more will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The subscriber wanted no more, or the bus was closed.
    Stopped,
    /// The subscriber was too slow.
    Disconnected,
}

/// What a subscriber received.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Took {
    Some,
    Nothing,
    Ended(End),
}

impl Line {
    pub(super) fn new(topic: Arc<str>, options: &SubscribeOptions, status: Status) -> Self {
        let (echo, buffer, overflow) = (options.echo, options.buffer.get(), options.overflow);
        Self { topic, echo, buffer, overflow, status, state: Mutex::default() }
    }

    /// Adds a message, by the rule for overflow.
    pub(super) fn put(&self, message: Message, woken: &mut Vec<Waker>) {
        let mut state = self.lock();
        if state.end.is_some() {
            return;
        }
        if state.messages < self.buffer && state.held.is_empty() {
            return state.push(Signal::Message(message), woken);
        }
        match self.overflow {
            Overflow::DropOldest => {
                state.drop_oldest();
                state.push(Signal::Message(message), woken);
            }
            Overflow::DropNewest => state.lag(woken),
            Overflow::Block { timeout } if state.may_hold(&message) => return state.hold(message, timeout),
            // `Disconnect`, and what is not known yet: a subscriber must never miss something unawares.
            _ => state.end(End::Disconnected, woken),
        }
        self.status.count_dropped(1);
    }

    /// Tells the subscriber that it may have missed something.
    pub(super) fn gap(&self, woken: &mut Vec<Waker>) {
        let mut state = self.lock();
        if state.end.is_some() {
            return;
        }
        let last = state.held.back().map(|held| &held.signal).or(state.signals.back());
        if matches!(last, Some(Signal::Gap)) {
            return;
        }
        if state.held.is_empty() {
            state.push(Signal::Gap, woken);
        } else {
            state.held.push_back(Held { until: None, signal: Signal::Gap });
        }
    }

    /// Lets nothing more in. What waits can still be received.
    pub(super) fn end(&self, end: End, woken: &mut Vec<Waker>) {
        self.lock().end(end, woken);
    }

    /// Moves up to `max` signals to `out`, or has the subscriber woken through `waker`.
    pub(super) fn take(&self, max: usize, out: &mut Vec<Signal>, waker: &Waker) -> Took {
        let mut state = self.lock();
        state.give_up_on(Instant::now(), &self.status);
        let before = out.len();
        let (mut received, mut expired) = (0, 0);
        while out.len() - before < max {
            state.let_in(self.buffer);
            let Some(signal) = state.signals.pop_front() else { break };
            if let Signal::Message(message) = &signal {
                state.messages -= 1;
                if message.expires().is_some_and(|expires| expires <= SystemTime::now()) {
                    expired += 1;
                    continue;
                }
                received += 1;
            }
            out.push(signal);
        }
        let took = match (out.len() > before, state.end) {
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
        self.status.count_received(received);
        self.status.count_dropped(expired);
        took
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, signal: Signal, woken: &mut Vec<Waker>) {
        self.messages += usize::from(matches!(signal, Signal::Message(_)));
        self.signals.push_back(signal);
        woken.extend(self.waker.take());
    }

    /// Drops the oldest message and leaves a mark in its place.
    fn drop_oldest(&mut self) {
        let Some(at) = self.signals.iter().position(|signal| matches!(signal, Signal::Message(_))) else { return };
        self.messages -= 1;
        match at.checked_sub(1).and_then(|before| self.signals.get_mut(before)) {
            Some(Signal::Lagged(missed)) => {
                *missed += 1;
                self.signals.remove(at);
            }
            _ => self.signals[at] = Signal::Lagged(1),
        }
    }

    /// Marks a message that was dropped behind all that wait.
    fn lag(&mut self, woken: &mut Vec<Waker>) {
        if let Some(Signal::Lagged(missed)) = self.signals.back_mut() {
            *missed += 1;
        } else {
            self.push(Signal::Lagged(1), woken);
        }
    }

    fn may_hold(&self, message: &Message) -> bool {
        self.held_bytes + message.size_bytes() <= MAX_HELD_BYTES
    }

    fn hold(&mut self, message: Message, timeout: Duration) {
        self.held_bytes += message.size_bytes() + MESSAGE_BYTES;
        let until = Instant::now().checked_add(timeout);
        self.held.push_back(Held { until, signal: Signal::Message(message) });
    }

    /// Disconnects a subscriber that has had no room for too long. Nobody but the subscriber can tell when
    /// that happens, so it is early enough when it looks.
    fn give_up_on(&mut self, now: Instant, status: &Status) {
        if self.held.iter().find_map(|held| held.until).is_some_and(|until| until <= now) {
            let dropped = self.held.iter().filter(|held| matches!(held.signal, Signal::Message(_))).count();
            status.count_dropped(dropped as u64);
            self.end(End::Disconnected, &mut Vec::new());
        }
    }

    /// Moves what is held to where there is room.
    fn let_in(&mut self, buffer: usize) {
        while self.messages < buffer {
            let Some(Held { signal, .. }) = self.held.pop_front() else { break };
            if let Signal::Message(message) = &signal {
                self.held_bytes -= message.size_bytes() + MESSAGE_BYTES;
                self.messages += 1;
            }
            self.signals.push_back(signal);
        }
    }

    fn end(&mut self, end: End, woken: &mut Vec<Waker>) {
        if self.end.is_none() {
            self.end = Some(end);
            if end == End::Disconnected {
                self.held.clear();
            }
            woken.extend(self.waker.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn line(buffer: usize, overflow: Overflow) -> Line {
        let options = SubscribeOptions::new().buffer(NonZeroUsize::new(buffer).unwrap()).overflow(overflow);
        Line::new("t".into(), &options, Status::new())
    }

    fn put(line: &Line, bodies: impl IntoIterator<Item = u8>) {
        bodies.into_iter().for_each(|body| line.put(Message::new(vec![body]), &mut Vec::new()));
    }

    fn take(line: &Line, max: usize) -> (Vec<String>, Took) {
        let mut out = Vec::new();
        let took = line.take(max, &mut out, Waker::noop());
        let show = |signal: &Signal| match signal {
            Signal::Message(message) => message.body()[0].to_string(),
            Signal::Lagged(missed) => format!("L{missed}"),
            _ => "G".to_owned(),
        };
        (out.iter().map(show).collect(), took)
    }

    #[test]
    fn what_is_dropped_is_told_in_its_place_exactly() {
        let (oldest, newest) = (line(3, Overflow::DropOldest), line(3, Overflow::DropNewest));

        put(&oldest, 1..=8);
        put(&newest, 1..=8);

        assert_eq!(take(&oldest, 9).0, ["L5", "6", "7", "8"]);
        assert_eq!(take(&newest, 9).0, ["1", "2", "3", "L5"]);
        assert_eq!((oldest.status.stats().dropped, newest.status.stats().dropped), (5, 5));
    }

    #[test]
    fn a_gap_keeps_its_place_and_takes_no_room() {
        let line = line(1, Overflow::Block { timeout: Duration::from_secs(60) });

        put(&line, [1]);
        line.gap(&mut Vec::new());
        put(&line, [2]);
        line.gap(&mut Vec::new());
        line.gap(&mut Vec::new());

        assert_eq!(take(&line, 9).0, ["1", "G", "2", "G"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_comes_in_order_when_there_is_room() {
        let line = line(2, Overflow::Block { timeout: Duration::from_secs(1) });

        put(&line, 1..=6);
        tokio::time::advance(Duration::from_millis(900)).await;

        assert_eq!(take(&line, 5).0, ["1", "2", "3", "4", "5"]);
        put(&line, [7]);
        assert_eq!(take(&line, 5).0, ["6", "7"]);
        assert_eq!(take(&line, 5).1, Took::Nothing);
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_that_has_no_room_for_too_long_is_disconnected() {
        let line = line(2, Overflow::Block { timeout: Duration::from_secs(1) });

        put(&line, 1..=5);
        tokio::time::advance(Duration::from_secs(1)).await;

        assert_eq!(take(&line, 9).0, ["1", "2"]);
        assert_eq!(take(&line, 9).1, Took::Ended(End::Disconnected));
        assert_eq!(line.status.stats().dropped, 3);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let line = line(1, Overflow::Block { timeout: Duration::from_secs(60) });

        for _ in 0..5 {
            line.put(Message::new(vec![0; MAX_HELD_BYTES / 3]), &mut Vec::new());
        }

        assert_eq!(take(&line, 9).0.len(), 1);
        assert_eq!(take(&line, 9).1, Took::Ended(End::Disconnected));
    }

    #[test]
    fn what_has_expired_is_not_handed_out() {
        let line = line(8, Overflow::Disconnect);
        let mut late = Message::new(vec![1]);
        late.set_expires(SystemTime::now() - Duration::from_secs(1));
        let mut early = Message::new(vec![2]);
        early.set_expires(SystemTime::now() + Duration::from_secs(600));

        line.put(late, &mut Vec::new());
        line.put(early, &mut Vec::new());

        assert_eq!(take(&line, 9).0, ["2"]);
        assert_eq!((line.status.stats().received, line.status.stats().dropped), (1, 1));
    }
}
