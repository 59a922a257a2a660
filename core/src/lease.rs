//! [`Lease`], a handler's view of the time it has.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::{Error, ErrorKind};

/// The lease under which a message is being handled: how long the broker keeps it from others.
///
/// The server renews the lease by itself for as long as the handler runs; a handler looks at it to learn
/// that it was [cancelled](Self::cancelled), or to [extend](Self::extend) it ahead of a stretch in which it
/// blocks.
#[derive(Clone)]
pub struct Lease(Arc<Shared>);

/// Why a handler was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancelled {
    /// The lease was lost: somebody else may have the message, and nothing done now will be acknowledged.
    LeaseLost,
    /// The deadline of a shutdown passed.
    Shutdown,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
    keeper: Arc<Notify>,
}

#[derive(Default)]
struct State {
    until: Option<Instant>,
    wanted: Option<Instant>,
    cancelled: Option<Cancelled>,
    finished: bool,
}

impl Lease {
    /// When the lease ends unless it is renewed; `None` where the broker sets no time.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.lock().until
    }

    /// Has the lease end no earlier than `by` from now, and waits until the broker has agreed.
    ///
    /// Only needed ahead of work that may keep the server from renewing, as renewal is automatic.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LeaseLost`] if the lease has ended or the message is settled.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the extension may still take place.
    pub async fn extend(&self, by: Duration) -> Result<Instant, Error> {
        let wanted = Instant::now() + by;
        {
            let mut state = self.lock();
            if state.until.is_some() {
                state.wanted = Some(state.wanted.map_or(wanted, |before| before.max(wanted)));
            }
        }
        self.0.keeper.notify_one();
        loop {
            let changed = self.0.changed.notified();
            {
                let state = self.lock();
                if state.cancelled.is_some() || state.finished {
                    return Err(Error::new(ErrorKind::LeaseLost, "lease cannot be extended, it has ended"));
                }
                match state.until {
                    // Nothing to extend: the broker sets no time.
                    None => return Ok(wanted),
                    Some(until) if until >= wanted => return Ok(until),
                    Some(_) => {}
                }
            }
            changed.await;
        }
    }

    /// Why the handler should stop, if it should.
    #[must_use]
    pub fn is_cancelled(&self) -> Option<Cancelled> {
        self.lock().cancelled
    }

    /// Waits until the handler should stop. Never resolves for one that runs to its end in peace.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn cancelled(&self) -> Cancelled {
        loop {
            let changed = self.0.changed.notified();
            if let Some(reason) = self.is_cancelled() {
                return reason;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Lease").field("deadline", &state.until).field("cancelled", &state.cancelled).finish()
    }
}

/// The server's end of a [`Lease`]. For whoever writes a server loop; handlers never see it.
pub struct LeaseControl(Lease);

impl LeaseControl {
    /// Creates the control of leases whose wishes are announced on `keeper`.
    #[must_use]
    pub fn new(keeper: Arc<Notify>) -> Self {
        Self(Lease(Arc::new(Shared { state: Mutex::default(), changed: Notify::new(), keeper })))
    }

    /// Begins a lease for the next message. The allocation of the last one is used again where no handler
    /// has kept it.
    pub fn begin(&mut self, until: Option<Instant>) -> Lease {
        let state = State { until, ..State::default() };
        match Arc::get_mut(&mut self.0.0) {
            Some(shared) => *shared.state.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner) = state,
            None => {
                let keeper = Arc::clone(&self.0.0.keeper);
                self.0 = Lease(Arc::new(Shared { state: Mutex::new(state), changed: Notify::new(), keeper }));
            }
        }
        self.0.clone()
    }

    /// Another control of the lease begun last.
    #[must_use]
    pub fn share(&self) -> Self {
        Self(self.0.clone())
    }

    /// Takes note that the broker holds the message until then.
    pub fn extended(&self, until: Instant) {
        let mut state = self.0.lock();
        state.until = Some(until);
        if state.wanted.is_some_and(|wanted| wanted <= until) {
            state.wanted = None;
        }
        drop(state);
        self.0.0.changed.notify_waiters();
    }

    /// How long the handler asked the lease to last, if that is not granted yet.
    #[must_use]
    pub fn wanted(&self) -> Option<Instant> {
        self.0.lock().wanted
    }

    /// Tells the handler to stop.
    pub fn cancel(&self, reason: Cancelled) {
        self.0.lock().cancelled.get_or_insert(reason);
        self.0.0.changed.notify_waiters();
    }

    /// Takes note that the handler has ended, so that a copy of the lease it kept is of no use any more.
    pub fn finish(&self) {
        // Nobody else holds it: `begin` will reset it, and there is no one to tell.
        if Arc::strong_count(&self.0.0) > 1 {
            self.0.lock().finished = true;
            self.0.0.changed.notify_waiters();
        }
    }
}

impl fmt::Debug for LeaseControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LeaseControl").field(&self.0).finish()
    }
}
