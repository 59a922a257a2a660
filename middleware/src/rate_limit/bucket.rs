//! [`Bucket`], the tokens all clones of a service share, and the line before it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::line::{Line, Place};

/// Tokens, and those who wait for one.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Between one token and the next.
    interval: Duration,
    /// How long it takes an empty bucket to be one token short of full.
    slack: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the bucket will be full, which says how many tokens are in it now: a full bucket has nothing to
    /// keep count of. `None` if it was never touched.
    full_at: Option<Instant>,
    line: Line,
}

/// What came of asking for a token.
pub(super) enum Asked {
    Taken,
    /// It is one's turn, but there is no token before then.
    NotBefore(Instant),
    /// Others are first. One is woken when that changes.
    InLine,
}

impl Bucket {
    pub(super) fn new(interval: Duration, burst: u32) -> Self {
        let state = State { full_at: None, line: Line::default() };
        Self { interval, slack: interval.saturating_mul(burst - 1), state: Mutex::new(state) }
    }

    pub(super) const fn interval(&self) -> Duration {
        self.interval
    }

    /// Takes a token, or a place in line.
    pub(super) fn ask(&self, place: &mut Place, waker: &Waker) -> Asked {
        let mut state = self.lock();
        if !state.line.is_first(*place) {
            state.line.wait(place, waker);
            return Asked::InLine;
        }
        let now = Instant::now();
        let full_at = state.full_at.filter(|full_at| *full_at > now).unwrap_or(now);
        if let Some(due) = full_at.checked_sub(self.slack).filter(|due| *due > now) {
            state.line.wait(place, waker);
            return Asked::NotBefore(due);
        }
        state.full_at = Some(later(full_at, self.interval));
        step_out(state, place);
        Asked::Taken
    }

    /// Puts a token back that was not spent.
    pub(super) fn put_back(&self) {
        let mut state = self.lock();
        state.full_at = state.full_at.and_then(|full_at| full_at.checked_sub(self.interval));
        let next = state.line.first();
        drop(state);
        next.into_iter().for_each(Waker::wake);
    }

    /// Leaves the line.
    pub(super) fn leave(&self, place: &mut Place) {
        if place.is_some() {
            step_out(self.lock(), place);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves the line. Whoever is first then has to see when the next token is due.
fn step_out(mut state: MutexGuard<'_, State>, place: &mut Place) {
    let was_first = place.is_some() && state.line.is_first(*place);
    state.line.leave(place);
    let next = state.line.first().filter(|_| was_first);
    drop(state);
    next.into_iter().for_each(Waker::wake);
}

/// Too far off to be an instant is as good as a year.
fn later(instant: Instant, by: Duration) -> Instant {
    instant.checked_add(by).unwrap_or_else(|| instant + Duration::from_secs(365 * 24 * 3600))
}
