//! [`Lease`], a handler's view of the time it has.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
pub struct Lease {
    shared: Arc<Shared>,
    delivery: u64,
}

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

/// The state of the delivery that is being handled now. A worker handles one after the other and keeps the
/// allocation; leases of earlier deliveries find another number here and know that they have ended.
#[derive(Default)]
struct State {
    delivery: Option<u64>,
    until: Option<Instant>,
    wanted: Option<Instant>,
    cancelled: Option<Cancelled>,
    /// The last wish was for longer than the broker holds a message.
    refused: bool,
    waiters: usize,
}

impl Lease {
    /// When the lease ends unless it is renewed; `None` where the broker sets no time, and once the message
    /// is handled.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.current().and_then(|state| state.until)
    }

    /// Has the lease end no earlier than `by` from now, and waits until the broker has agreed.
    ///
    /// Only needed ahead of work that may keep the server from renewing, as renewal is automatic.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::LeaseLost`]: the lease has ended, or the message is settled.
    /// - [`ErrorKind::Unsupported`]: the broker does not hold a message that long. The lease goes on as
    ///   before.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the extension may still take place.
    pub async fn extend(&self, by: Duration) -> Result<Instant, Error> {
        let wanted = Instant::now() + by;
        if let Some(mut state) = self.current().filter(|state| state.until.is_some()) {
            state.wanted = state.wanted.max(Some(wanted));
            state.refused = false;
        }
        self.shared.keeper.notify_one();
        let ended = || Error::new(ErrorKind::LeaseLost, "lease cannot be extended, it has ended");
        let granted = self.wait(|state| match (state.cancelled, state.until) {
            (Some(_), _) => ControlFlow::Break(Err(ended())),
            // Nothing to extend: the broker sets no time.
            (None, None) => ControlFlow::Break(Ok(wanted)),
            (None, Some(until)) if until >= wanted => ControlFlow::Break(Ok(until)),
            (None, Some(_)) if state.refused => ControlFlow::Break(Err(Error::new(
                ErrorKind::Unsupported,
                format!("lease cannot be extended by {by:?}, the broker does not hold a message that long"),
            ))),
            (None, Some(_)) => ControlFlow::Continue(()),
        });
        granted.await.unwrap_or_else(|| Err(ended()))
    }

    /// Why the handler should stop, if it should.
    #[must_use]
    pub fn is_cancelled(&self) -> Option<Cancelled> {
        self.current().and_then(|state| state.cancelled)
    }

    /// Waits until the handler should stop. Never resolves for one that runs to its end in peace.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn cancelled(&self) -> Cancelled {
        let cancelled = self.wait(|state| match state.cancelled {
            Some(reason) => ControlFlow::Break(reason),
            None => ControlFlow::Continue(()),
        });
        match cancelled.await {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// Waits until `check` breaks; `None` if the message is handled before.
    async fn wait<B>(&self, check: impl Fn(&State) -> ControlFlow<B>) -> Option<B> {
        let _waiter = Waiter::new(&self.shared);
        loop {
            // Created before the look, so that a change between the two is not missed.
            let changed = self.shared.changed.notified();
            if let ControlFlow::Break(found) = check(&*self.current()?) {
                return Some(found);
            }
            changed.await;
        }
    }

    /// The state, unless it is another delivery's by now.
    fn current(&self) -> Option<MutexGuard<'_, State>> {
        let state = self.shared.lock();
        (state.delivery == Some(self.delivery)).then_some(state)
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("deadline", &self.deadline())
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// The server's end of the [`Lease`]s of a worker, one delivery after the other. For whoever writes a server
/// loop; handlers never see it.
#[derive(Clone)]
pub struct LeaseControl(Arc<Shared>);

impl LeaseControl {
    /// Creates the control of leases whose wishes are announced on `keeper`.
    #[must_use]
    pub fn new(keeper: Arc<Notify>) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), changed: Notify::new(), keeper }))
    }

    /// Begins the lease of a delivery, whose number is never used again, and ends the one before.
    #[must_use]
    pub fn begin(&self, delivery: u64, until: Option<Instant>) -> Lease {
        self.replace(Some(delivery), until);
        Lease { shared: Arc::clone(&self.0), delivery }
    }

    /// Ends the lease begun last: the message is handled.
    pub fn finish(&self) {
        self.replace(None, None);
    }

    /// Takes note that the broker holds the delivery until then.
    pub fn extended(&self, delivery: u64, until: Instant) {
        self.change(delivery, |state| {
            state.until = Some(until);
            state.wanted = state.wanted.filter(|wanted| *wanted > until);
        });
    }

    /// Until when the handler of the delivery asked the lease to last, if that is not granted yet.
    #[must_use]
    pub fn wanted(&self, delivery: u64) -> Option<Instant> {
        let state = self.0.lock();
        state.wanted.filter(|_| state.delivery == Some(delivery))
    }

    /// Takes note that the broker does not hold the delivery for as long as its handler wants.
    pub fn refuse(&self, delivery: u64) {
        self.change(delivery, |state| {
            state.wanted = None;
            state.refused = true;
        });
    }

    /// Tells the handler of the delivery to stop.
    pub fn cancel(&self, delivery: u64, reason: Cancelled) {
        self.change(delivery, |state| {
            state.cancelled.get_or_insert(reason);
        });
    }

    fn replace(&self, delivery: Option<u64>, until: Option<Instant>) {
        let mut state = self.0.lock();
        let waiters = state.waiters;
        *state = State { delivery, until, waiters, ..State::default() };
        drop(state);
        // Hardly any handler waits on its lease, and this is on the path of every message.
        if waiters > 0 {
            self.0.changed.notify_waiters();
        }
    }

    fn change(&self, delivery: u64, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock();
        if state.delivery == Some(delivery) {
            change(&mut state);
            drop(state);
            self.0.changed.notify_waiters();
        }
    }
}

impl fmt::Debug for LeaseControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseControl").field("delivery", &self.0.lock().delivery).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts somebody who waits for a change for as long as it lives.
struct Waiter<'a>(&'a Shared);

impl<'a> Waiter<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.lock().waiters += 1;
        Self(shared)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.lock().waiters -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control() -> LeaseControl {
        LeaseControl::new(Arc::new(Notify::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn an_extension_waits_for_the_broker() {
        let control = control();
        let now = Instant::now();
        let lease = control.begin(1, Some(now + Duration::from_secs(30)));

        let (granted, ()) = tokio::join!(lease.extend(Duration::from_secs(60)), async {
            tokio::task::yield_now().await;
            let wanted = control.wanted(1).expect("the wish is known");
            control.extended(1, wanted);
        });

        assert_eq!(granted.unwrap(), now + Duration::from_secs(60));
        assert_eq!(control.wanted(1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_extension_the_broker_refuses_is_an_error_and_the_lease_goes_on() {
        let control = control();
        let until = Instant::now() + Duration::from_secs(30);
        let lease = control.begin(1, Some(until));

        let (refused, ()) = tokio::join!(lease.extend(Duration::from_secs(60)), async {
            tokio::task::yield_now().await;
            control.refuse(1);
        });

        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!((lease.deadline(), lease.is_cancelled()), (Some(until), None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_handler_is_told_and_can_extend_no_more() {
        let control = control();
        let lease = control.begin(1, Some(Instant::now()));

        let (reason, ()) = tokio::join!(lease.cancelled(), async {
            tokio::task::yield_now().await;
            control.cancel(1, Cancelled::LeaseLost);
        });
        let error = lease.extend(Duration::from_secs(1)).await.unwrap_err();

        assert_eq!((reason, error.kind()), (Cancelled::LeaseLost, ErrorKind::LeaseLost));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_kept_beyond_its_message_has_ended() {
        let control = control();
        let kept = control.begin(1, Some(Instant::now()));
        let waiting = tokio::spawn({
            let kept = kept.clone();
            async move { kept.extend(Duration::from_secs(9)).await.map_err(|error| error.kind()) }
        });
        tokio::task::yield_now().await;

        let next = control.begin(2, None);
        control.cancel(1, Cancelled::Shutdown);

        assert_eq!(waiting.await.unwrap(), Err(ErrorKind::LeaseLost));
        assert_eq!((kept.deadline(), kept.is_cancelled(), next.is_cancelled()), (None, None, None));
    }
}
