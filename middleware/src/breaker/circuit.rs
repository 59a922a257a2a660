//! [`Switch`], the state all clones share, and [`Circuit`], the switch with the rule it goes by.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::watch;
use tokio::time::Instant;

use super::BreakerState;
use super::rule::{Rule, Tally};
use crate::line::{Line, Place};

/// A switch with the rule it goes by.
#[derive(Debug)]
pub(super) struct Circuit {
    rule: Rule,
    switch: Arc<Switch>,
}

/// The state of a breaker.
#[derive(Debug)]
pub(super) struct Switch {
    /// The number of the period in which it is closed, and 0 while it is not: a look at this is all that
    /// most messages take.
    closed: AtomicU64,
    /// A success would change nothing.
    blank: AtomicBool,
    state: Mutex<State>,
    watch: watch::Sender<BreakerState>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Grows with every change of phase, so that a call is only heard in the period it began in.
    period: u64,
    tally: Tally,
    line: Line,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen { probing: bool },
    Tripped,
}

/// What came of asking to pass.
pub(super) enum Asked {
    /// Closed, in this period.
    Pass(u64),
    /// To pass as the one that is tried, in this period.
    Probe(u64),
    /// Not before then; one is woken if that changes.
    NotBefore(Instant),
    /// One is woken when that changes.
    Wait,
}

impl Circuit {
    pub(super) const fn new(rule: Rule, switch: Arc<Switch>) -> Self {
        Self { rule, switch }
    }

    pub(super) const fn rule(&self) -> &Rule {
        &self.rule
    }

    pub(super) const fn switch(&self) -> &Arc<Switch> {
        &self.switch
    }

    /// Counts a call that began in `period`.
    pub(super) fn record(&self, period: u64, probe: bool, failed: bool) {
        let switch = &*self.switch;
        if !failed && !probe && switch.blank.load(Ordering::Relaxed) {
            return;
        }
        let mut state = switch.lock();
        if state.period != period {
            return;
        }
        let open = if probe { failed } else { state.tally.count(&self.rule, failed) };
        switch.blank.store(state.tally.is_blank(&self.rule), Ordering::Relaxed);
        if open {
            let open_for = self.rule.open_for;
            // Too far off to be an instant: somebody will have to reset it.
            let until = Instant::now().checked_add(open_for);
            switch.enter(state, until.map_or(Phase::Tripped, |until| Phase::Open { until }));
            tracing::warn!(target: "chappe::breaker", ?open_for, probe, "breaker opens, no messages are taken");
        } else if probe {
            switch.enter(state, Phase::Closed);
            tracing::info!(target: "chappe::breaker", "breaker closes, messages are taken again");
        }
    }
}

impl Switch {
    pub(super) const fn watch(&self) -> &watch::Sender<BreakerState> {
        &self.watch
    }

    /// The period in which the breaker is closed, if it is.
    pub(super) fn closed(&self) -> Option<u64> {
        Some(self.closed.load(Ordering::Acquire)).filter(|period| *period > 0)
    }

    /// Whether a period is not over yet.
    pub(super) fn is_in(&self, period: u64) -> bool {
        self.lock().period == period
    }

    /// Asks to pass, and takes a place in line if that has to wait.
    pub(super) fn ask(&self, place: &mut Place, waker: &Waker) -> Asked {
        let mut state = self.lock();
        match state.phase {
            Phase::Closed => {
                state.line.leave(place);
                Asked::Pass(state.period)
            }
            Phase::Open { until } if until > Instant::now() => {
                state.line.wait(place, waker);
                Asked::NotBefore(until)
            }
            Phase::Open { .. } | Phase::HalfOpen { probing: false } => {
                state.line.leave(place);
                Asked::Probe(self.enter(state, Phase::HalfOpen { probing: true }))
            }
            Phase::HalfOpen { probing: true } | Phase::Tripped => {
                state.line.wait(place, waker);
                Asked::Wait
            }
        }
    }

    /// Leaves the line.
    pub(super) fn leave(&self, place: &mut Place) {
        if place.is_some() {
            self.lock().line.leave(place);
        }
    }

    /// Takes back a probe nothing came of, for the next to take.
    pub(super) fn forgo(&self, period: u64) {
        let state = self.lock();
        if state.period == period {
            self.enter(state, Phase::HalfOpen { probing: false });
        }
    }

    pub(super) fn trip(&self) {
        self.enter(self.lock(), Phase::Tripped);
        tracing::warn!(target: "chappe::breaker", "breaker is tripped, no messages are taken until it is reset");
    }

    pub(super) fn reset(&self) {
        self.enter(self.lock(), Phase::Closed);
        tracing::info!(target: "chappe::breaker", "breaker is reset, messages are taken");
    }

    /// Begins a period, and returns its number. All who wait have to look again: some wait for a time that
    /// is no longer the right one.
    fn enter(&self, mut state: MutexGuard<'_, State>, phase: Phase) -> u64 {
        state.period += 1;
        state.phase = phase;
        state.tally = Tally::default();
        let period = state.period;
        let (seen, closed) = match phase {
            Phase::Closed => (BreakerState::Closed, period),
            Phase::Open { .. } => (BreakerState::Open, 0),
            Phase::HalfOpen { .. } => (BreakerState::HalfOpen, 0),
            Phase::Tripped => (BreakerState::Tripped, 0),
        };
        self.closed.store(closed, Ordering::Release);
        // The first call of a period is counted, and says whether the next has to be.
        self.blank.store(false, Ordering::Relaxed);
        self.watch.send_if_modified(|now| std::mem::replace(now, seen) != seen);
        let waiting = state.line.all();
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        period
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Switch {
    fn default() -> Self {
        let state = State { phase: Phase::Closed, period: 1, tally: Tally::default(), line: Line::default() };
        Self {
            closed: AtomicU64::new(1),
            blank: AtomicBool::new(false),
            state: Mutex::new(state),
            watch: watch::Sender::new(BreakerState::Closed),
        }
    }
}
