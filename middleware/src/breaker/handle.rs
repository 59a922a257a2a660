use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::circuit::Switch;

/// Looks at a breaker and switches it. Cheap to clone.
#[derive(Clone)]
pub struct BreakerHandle {
    switch: Arc<Switch>,
}

/// What a breaker does with messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// Lets them through.
    Closed,
    /// Too many failed: lets none through for a time.
    Open,
    /// Lets one through to see how it fares. A breaker that was open long enough stays `Open` until there
    /// is one.
    HalfOpen,
    /// Switched off by hand: lets none through until it is reset.
    Tripped,
}

impl BreakerHandle {
    pub(super) const fn new(switch: Arc<Switch>) -> Self {
        Self { switch }
    }

    /// The state now.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        *self.switch.watch().borrow()
    }

    /// The state, and every change of it.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<BreakerState> {
        self.switch.watch().subscribe()
    }

    /// Lets no message through until [`reset`](Self::reset). What is being handled goes on.
    pub fn trip(&self) {
        self.switch.trip();
    }

    /// Lets messages through again, whatever the state is, and forgets all failures.
    pub fn reset(&self) {
        self.switch.reset();
    }
}

impl fmt::Debug for BreakerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerHandle").field("state", &self.state()).finish_non_exhaustive()
    }
}
