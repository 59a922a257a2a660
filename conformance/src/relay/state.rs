//! The faults in force, and what has passed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
    /// Either way.
    Both,
}

impl Direction {
    pub(super) fn each(self, mut side: impl FnMut(usize)) {
        if self != Self::ToClient {
            side(TO_SERVER);
        }
        if self != Self::ToServer {
            side(TO_CLIENT);
        }
    }
}

pub(super) const TO_SERVER: usize = 0;
pub(super) const TO_CLIENT: usize = 1;

/// What [`State::budget`] holds when nothing is to be cut.
const UNLIMITED: u64 = u64::MAX;

#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) refuse: bool,
    pub(super) held: [bool; 2],
    pub(super) delay: Duration,
    pub(super) bytes_per_s: Option<u64>,
    /// How often everything was cut; a connection ends when it sees this change.
    pub(super) cuts: u64,
}

impl Faults {
    pub(super) fn heal(&mut self) {
        *self = Self { cuts: self.cuts, ..Self::default() };
    }
}

#[derive(Debug)]
pub(super) struct State {
    faults: watch::Sender<Faults>,
    budget: [AtomicU64; 2],
    passed: [AtomicU64; 2],
    connections: AtomicU64,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            faults: watch::Sender::default(),
            budget: [const { AtomicU64::new(UNLIMITED) }; 2],
            passed: Default::default(),
            connections: AtomicU64::new(0),
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Faults> {
        self.faults.subscribe()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Faults)) {
        self.faults.send_modify(change);
    }

    pub(super) fn cut(&self) {
        self.change(|faults| faults.cuts += 1);
    }

    pub(super) fn arm(&self, bytes: u64, direction: Direction) {
        direction.each(|side| self.budget[side].store(bytes, Ordering::Relaxed));
    }

    pub(super) fn disarm(&self) {
        self.arm(UNLIMITED, Direction::Both);
    }

    /// How many of `wanted` bytes may pass, and whether they are the last before a cut.
    pub(super) fn spend(&self, side: usize, wanted: usize) -> (usize, bool) {
        let mut granted = wanted;
        let mut last = false;
        let _ = self.budget[side].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            if left == UNLIMITED {
                (granted, last) = (wanted, false);
                return None;
            }
            granted = wanted.min(usize::try_from(left).unwrap_or(usize::MAX));
            let rest = left - granted as u64;
            last = rest == 0;
            Some(if last { UNLIMITED } else { rest })
        });
        (granted, last)
    }

    pub(super) fn count_passed(&self, side: usize, bytes: usize) {
        self.passed[side].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn count_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self, direction: Direction) -> u64 {
        let mut bytes = 0;
        direction.each(|side| bytes += self.passed[side].load(Ordering::Relaxed));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_of_a_budget_are_granted_and_then_it_is_gone() {
        let state = State::new();
        state.arm(5, Direction::ToServer);

        assert_eq!(state.spend(TO_SERVER, 3), (3, false));
        assert_eq!(state.spend(TO_CLIENT, 100), (100, false));
        assert_eq!(state.spend(TO_SERVER, 3), (2, true));
        assert_eq!(state.spend(TO_SERVER, 3), (3, false));
    }
}
