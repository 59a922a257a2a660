//! Ctrl-C and its like: the task ends in order, so that its servers are stopped.

use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::server::signal;

/// Hears signals from now on.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<State>);

#[derive(Default)]
struct State {
    heard: AtomicBool,
    /// The program signals are passed on to; 0 is none.
    program: AtomicU32,
}

impl Interrupt {
    /// Starts to listen: the first signal has the task unwind, the second ends it at once.
    pub(crate) fn listen() -> Result<Self> {
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("cannot listen to signals")?;
        let state = Arc::new(State::default());
        let listener = Self(Arc::clone(&state));
        thread::spawn(move || {
            for number in signals.forever() {
                if state.heard.swap(true, Ordering::SeqCst) {
                    std::process::exit(130);
                }
                let program = state.program.load(Ordering::SeqCst);
                // A terminal sends Ctrl-C to the program itself, too.
                if program != 0 && number != SIGINT {
                    signal("TERM", program);
                }
            }
        });
        Ok(listener)
    }

    /// Whether the task is to end.
    pub(crate) fn heard(&self) -> bool {
        self.0.heard.load(Ordering::SeqCst)
    }

    /// Has signals passed on to a program until the answer is dropped.
    pub(crate) fn pass_on(&self, child: &Child) -> PassOn<'_> {
        self.0.program.store(child.id(), Ordering::SeqCst);
        PassOn(&self.0)
    }
}

/// As long as this lives, a program is told when the task is to end.
pub(crate) struct PassOn<'a>(&'a State);

impl Drop for PassOn<'_> {
    fn drop(&mut self) {
        self.0.program.store(0, Ordering::SeqCst);
    }
}
