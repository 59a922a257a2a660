//! [`Ring`], what a replay keeps, in the order it came.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use chappe_core::backend::Signal;
use tokio::time::Instant;

/// The last signals, each with a position that never changes.
pub(super) struct Ring {
    entries: VecDeque<(Instant, Signal)>,
    /// The position of the oldest entry.
    start: u64,
    max: usize,
    max_age: Duration,
}

impl Ring {
    pub(super) fn new(max: usize, max_age: Duration) -> Self {
        Self { entries: VecDeque::new(), start: 0, max, max_age }
    }

    pub(super) fn push(&mut self, signal: Signal) {
        self.forget();
        if self.entries.len() == self.max {
            self.drop_oldest();
        }
        self.entries.push_back((Instant::now(), signal));
    }

    /// The position of the oldest.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// The position of the next to come.
    pub(super) fn end(&self) -> u64 {
        self.start + self.entries.len() as u64
    }

    pub(super) fn len(&self) -> usize {
        self.entries.iter().filter(|(_, signal)| matches!(signal, Signal::Message(_))).count()
    }

    /// The position behind the last message of this id.
    pub(super) fn after(&self, id: &str) -> Option<u64> {
        let is_it = |(_, signal): &(Instant, Signal)| match signal {
            Signal::Message(message) => message.id().is_some_and(|there| there.to_str() == id),
            _ => false,
        };
        self.entries.iter().rposition(is_it).map(|at| self.start + at as u64 + 1)
    }

    /// Copies up to `max` signals from a position on; answers the position behind them.
    pub(super) fn copy(&mut self, mut at: u64, max: usize, out: &mut Vec<Signal>) -> u64 {
        self.forget();
        let mut room = max;
        if at < self.start && room > 0 {
            out.push(Signal::Lagged(self.start - at));
            (at, room) = (self.start, room - 1);
        }
        let now = SystemTime::now();
        // The length of the ring, which is a usize, bounds the difference.
        let ahead = self.entries.iter().skip(usize::try_from(at - self.start).unwrap_or(usize::MAX));
        for (_, signal) in ahead {
            if room == 0 {
                break;
            }
            at += 1;
            let expired = matches!(signal, Signal::Message(message) if message.expires().is_some_and(|end| end <= now));
            if !expired {
                out.push(signal.clone());
                room -= 1;
            }
        }
        at
    }

    /// Drops what is too old.
    fn forget(&mut self) {
        let now = Instant::now();
        while self.entries.front().is_some_and(|(came, _)| now.duration_since(*came) > self.max_age) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        self.entries.pop_front();
        self.start += 1;
    }
}
