//! [`Lease`], a handler's view of the time it has.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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
    /// The delivery that is being handled now, or none. Apart from the state, as it changes with every
    /// message, and hardly any handler looks at its lease.
    current: AtomicU64,
    /// When its lease ended as it began, in nanoseconds since `origin`; [`NEVER`] where there is no end.
    until: AtomicU64,
    origin: Instant,
    state: Mutex<State>,
    changed: Notify,
    waiters: AtomicUsize,
    keeper: Arc<Notify>,
}

/// No delivery.
const NONE: u64 = u64::MAX;

/// The lease has no end.
const NEVER: u64 = u64::MAX;

/// What has happened to the lease of a delivery. A worker handles one after the other and keeps the
/// allocation: what is here may be about an earlier delivery, and says so.
struct State {
    delivery: u64,
    extended: Option<Instant>,
    wanted: Option<Instant>,
    cancelled: Option<Cancelled>,
    /// The last wish was for longer than the broker holds a message.
    refused: bool,
}

impl State {
    const fn of(delivery: u64) -> Self {
        Self { delivery, extended: None, wanted: None, cancelled: None, refused: false }
    }
}

/// What a handler sees of its lease.
struct View {
    until: Option<Instant>,
    cancelled: Option<Cancelled>,
    refused: bool,
}

impl Lease {
    /// When the lease ends unless it is renewed; `None` where the broker sets no time, and once the message
    /// is handled.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.view().and_then(|view| view.until)
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
        if self.view().is_some_and(|view| view.until.is_some()) {
            self.shared.change(self.delivery, |state| {
                state.wanted = state.wanted.max(Some(wanted));
                state.refused = false;
            });
        }
        self.shared.keeper.notify_one();
        let ended = || Error::new(ErrorKind::LeaseLost, "lease cannot be extended, it has ended");
        let granted = self.wait(|view| match (view.cancelled, view.until) {
            (Some(_), _) => ControlFlow::Break(Err(ended())),
            // Nothing to extend: the broker sets no time.
            (None, None) => ControlFlow::Break(Ok(wanted)),
            (None, Some(until)) if until >= wanted => ControlFlow::Break(Ok(until)),
            (None, Some(_)) if view.refused => ControlFlow::Break(Err(Error::new(
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
        self.view().and_then(|view| view.cancelled)
    }

    /// Waits until the handler should stop. Never resolves for one that runs to its end in peace.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn cancelled(&self) -> Cancelled {
        let cancelled = self.wait(|view| match view.cancelled {
            Some(reason) => ControlFlow::Break(reason),
            None => ControlFlow::Continue(()),
        });
        match cancelled.await {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// Waits until `check` breaks; `None` if the message is handled before.
    async fn wait<B>(&self, check: impl Fn(&View) -> ControlFlow<B>) -> Option<B> {
        let _waiter = Waiter::new(&self.shared);
        loop {
            // Created before the look, so that a change between the two is not missed.
            let changed = self.shared.changed.notified();
            if let ControlFlow::Break(found) = check(&self.view()?) {
                return Some(found);
            }
            changed.await;
        }
    }

    /// How the lease stands, unless the message is handled by now.
    fn view(&self) -> Option<View> {
        let state = self.shared.lock();
        let changed = (state.delivery == self.delivery).then_some(&*state);
        // In this order: once there is another delivery's end, there is also its number.
        let until = self.shared.until.load(Ordering::Acquire);
        let current = self.shared.current.load(Ordering::SeqCst) == self.delivery;
        let began = (until != NEVER).then(|| self.shared.origin + Duration::from_nanos(until));
        current.then(|| View {
            until: changed.and_then(|state| state.extended).or(began),
            cancelled: changed.and_then(|state| state.cancelled),
            refused: changed.is_some_and(|state| state.refused),
        })
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
pub struct LeaseControl {
    shared: Arc<Shared>,
    /// The end that was set last, and what it is in nanoseconds: messages that were fetched together have
    /// the same, and to count it again for each would take as long as all else here.
    last: (Option<Instant>, u64),
}

impl LeaseControl {
    /// Creates the control of leases whose wishes are announced on `keeper`.
    #[must_use]
    pub fn new(keeper: Arc<Notify>) -> Self {
        let shared = Shared {
            current: AtomicU64::new(NONE),
            until: AtomicU64::new(NEVER),
            origin: Instant::now(),
            state: Mutex::new(State::of(NONE)),
            changed: Notify::new(),
            waiters: AtomicUsize::new(0),
            keeper,
        };
        Self { shared: Arc::new(shared), last: (None, NEVER) }
    }

    /// Begins the lease of a delivery, whose number is never used again and not `u64::MAX`, and ends the one
    /// before.
    #[must_use]
    pub fn begin(&mut self, delivery: u64, until: Option<Instant>) -> Lease {
        if until != self.last.0 {
            let nanos = until.map(|until| until.saturating_duration_since(self.shared.origin).as_nanos());
            self.last = (until, nanos.and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(NEVER));
        }
        self.replace(delivery, self.last.1);
        Lease { shared: Arc::clone(&self.shared), delivery }
    }

    /// Ends the lease begun last: the message is handled.
    pub fn finish(&self) {
        self.replace(NONE, NEVER);
    }

    /// Takes note that the broker holds the delivery until then.
    pub fn extended(&self, delivery: u64, until: Instant) {
        self.shared.change(delivery, |state| {
            state.extended = Some(until);
            state.wanted = state.wanted.filter(|wanted| *wanted > until);
        });
    }

    /// Until when the handler of the delivery asked the lease to last, if that is not granted yet.
    #[must_use]
    pub fn wanted(&self, delivery: u64) -> Option<Instant> {
        let state = self.shared.lock();
        state.wanted.filter(|_| state.delivery == delivery)
    }

    /// Takes note that the broker does not hold the delivery for as long as its handler wants.
    pub fn refuse(&self, delivery: u64) {
        self.shared.change(delivery, |state| {
            state.wanted = None;
            state.refused = true;
        });
    }

    /// Tells the handler of the delivery to stop.
    pub fn cancel(&self, delivery: u64, reason: Cancelled) {
        self.shared.change(delivery, |state| {
            state.cancelled.get_or_insert(reason);
        });
    }

    /// On the path of every message: one exchange, and no lock.
    fn replace(&self, delivery: u64, until: u64) {
        self.shared.current.swap(delivery, Ordering::SeqCst);
        self.shared.until.store(until, Ordering::Release);
        // Who waits counts itself before it looks at the number: one of the two sees the other.
        if self.shared.waiters.load(Ordering::SeqCst) > 0 {
            self.shared.changed.notify_waiters();
        }
    }
}

impl fmt::Debug for LeaseControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.shared.current.load(Ordering::Relaxed);
        f.debug_struct("LeaseControl").field("delivery", &(current != NONE).then_some(current)).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state of a delivery, if it is the one that is being handled.
    fn change(&self, delivery: u64, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        if self.current.load(Ordering::SeqCst) != delivery {
            return;
        }
        if state.delivery != delivery {
            *state = State::of(delivery);
        }
        change(&mut state);
        drop(state);
        self.changed.notify_waiters();
    }
}

/// Counts somebody who waits for a change for as long as it lives.
struct Waiter<'a>(&'a Shared);

impl<'a> Waiter<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.waiters.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::SeqCst);
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
        let mut control = control();
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
        let mut control = control();
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
        let mut control = control();
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
        let mut control = control();
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
