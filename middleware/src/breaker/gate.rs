//! [`Gate`], how one clone of a service gets past the breaker, and [`Trial`], a call that is watched.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use chappe_core::BoxError;
use tokio::time::{Sleep, sleep_until};

use super::circuit::{Asked, Circuit};
use crate::answer::outcome_of;
use crate::line::Place;

/// How one clone of a service gets past the breaker. Dropped, it leaves the line, and the probe to others.
#[derive(Debug)]
pub(super) struct Gate {
    circuit: Arc<Circuit>,
    place: Place,
    /// The period in which it was last let through.
    period: u64,
    /// The one message that is tried is to be this clone's.
    probe: Option<Trial>,
    /// Made when a clone first has to wait, and kept.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Gate {
    pub(super) const fn new(circuit: Arc<Circuit>) -> Self {
        Self { circuit, place: None, period: 0, probe: None, sleep: None }
    }

    pub(super) const fn circuit(&self) -> &Arc<Circuit> {
        &self.circuit
    }

    /// Waits until a message may go through.
    pub(super) fn poll_pass(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.place.is_none() && self.probe.is_none() {
                if let Some(period) = self.circuit.switch().closed() {
                    self.period = period;
                    return Poll::Ready(());
                }
            }
            if self.probe.as_ref().is_some_and(Trial::is_current) {
                return Poll::Ready(());
            }
            self.probe = None;
            match self.circuit.switch().ask(&mut self.place, cx.waker()) {
                Asked::Pass(period) => {
                    self.period = period;
                    return Poll::Ready(());
                }
                Asked::Probe(period) => {
                    self.probe = Some(Trial::new(&self.circuit, period, true));
                    return Poll::Ready(());
                }
                Asked::Wait => return Poll::Pending,
                Asked::NotBefore(until) => {
                    let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
                    if sleep.deadline() != until {
                        sleep.as_mut().reset(until);
                    }
                    ready!(sleep.as_mut().poll(cx));
                }
            }
        }
    }

    /// Begins a call.
    pub(super) fn pass(&mut self) -> Trial {
        self.probe.take().unwrap_or_else(|| Trial::new(&self.circuit, self.period, false))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.circuit.switch().leave(&mut self.place);
    }
}

/// A call whose end is counted. A probe that is dropped before is left to others, unless by a panic.
#[derive(Debug)]
pub(super) struct Trial {
    circuit: Arc<Circuit>,
    period: u64,
    is_probe: bool,
    /// Nothing is to be done about it any more.
    is_over: bool,
}

impl Trial {
    fn new(circuit: &Arc<Circuit>, period: u64, is_probe: bool) -> Self {
        Self { circuit: Arc::clone(circuit), period, is_probe, is_over: false }
    }

    /// Whether the breaker still waits for what becomes of it.
    fn is_current(&self) -> bool {
        self.circuit.switch().is_in(self.period)
    }

    /// Counts the call by its answer.
    pub(super) fn answered<R: 'static>(&mut self, answer: &Result<R, BoxError>) {
        let outcome = outcome_of(answer);
        let error = answer.as_ref().err().map(|error| &**error as _);
        let failed = self.circuit.rule().is_failure(&outcome, error);
        self.end(failed);
    }

    /// Counts the call as a failure.
    pub(super) fn panicked(&mut self) {
        self.end(true);
    }

    fn end(&mut self, failed: bool) {
        self.is_over = true;
        self.circuit.record(self.period, self.is_probe, failed);
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if std::thread::panicking() {
            self.end(true);
        } else if self.is_probe {
            self.circuit.switch().forgo(self.period);
        }
    }
}
