//! [`perform`], which runs one message through a receiver as a server would.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, IntoFuture, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use chappe_core::backend::StopSource;
use chappe_core::{Cancelled, IntoOutcome, Lease, LeaseControl, Message, Outcome, Receiver};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::Span;

use super::Performed;
use super::limit::{REAL, too_long};
use crate::server::instance::{End, finish_call, guard};

/// The number of the only delivery there is.
const DELIVERY: u64 = 1;

/// Runs one message through a receiver as a server would: waits until it is ready, calls it once, catches a
/// panic, and sorts out its error. Await what this returns.
///
/// The receiver may be a handler, a router or a whole stack of layers. It sees a lease, which has no end
/// unless [one is set](Perform::lease).
///
/// # Examples
///
/// ```
/// use chappe::{BoxError, Message, OutcomeError};
/// use chappe::testing::perform;
/// use tower::service_fn;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let receiver = service_fn(|message: Message| async move {
///     let text = std::str::from_utf8(message.body()).map_err(OutcomeError::reject)?;
///     text.parse::<u32>()?;
///     Ok::<_, BoxError>(())
/// });
///
/// perform(receiver, "7").await.assert_acked();
/// perform(receiver, "seven").await.assert_retried().assert_error("invalid digit");
/// perform(receiver, vec![0xff]).await.assert_rejected("invalid utf-8");
/// # }
/// ```
pub fn perform<R: Receiver>(receiver: R, message: impl Into<Message>) -> Perform<R> {
    Perform { receiver, message: message.into(), timeout: None, lease: None, cancel: None }
}

/// A message about to be handled: await it. Made by [`perform`].
///
/// # Panics
///
/// If the receiver fails to become ready, or neither becomes ready nor answers within ten seconds, or a day
/// where time is paused.
///
/// # Cancel safety
///
/// Dropped, the receiver's future is dropped.
#[must_use = "nothing is performed until this is awaited"]
pub struct Perform<R> {
    receiver: R,
    message: Message,
    timeout: Option<Duration>,
    lease: Option<Duration>,
    cancel: Option<(Duration, Cancelled)>,
}

impl<R> Perform<R> {
    /// Sets which attempt this is.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.message.set_attempt(attempt);
        self
    }

    /// Sets how long the receiver may take, as [`Server::timeout`](crate::Server::timeout) does.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets when the lease ends. It is extended as far as the receiver asks, and otherwise not renewed.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Tells the receiver to stop after a time, for this reason: its lease is lost, and it may go on but
    /// settles nothing; or the deadline of a shutdown passes, and it is dropped after one last poll.
    pub fn cancel_after(mut self, time: Duration, reason: Cancelled) -> Self {
        self.cancel = Some((time, reason));
        self
    }
}

impl<R: Receiver> Perform<R> {
    async fn run(self) -> Performed {
        let Self { mut receiver, mut message, timeout, lease, cancel } = self;
        ready(&mut receiver).await;

        let bell = Arc::new(Notify::new());
        let mut control = LeaseControl::new(Arc::clone(&bell));
        let lease = control.begin(DELIVERY, lease.map(|time| Instant::now() + time));
        message.set_lease(Some(lease.clone()));
        let abort = StopSource::new();
        let stop = abort.token();
        let end = match guard(|| receiver.call(message)) {
            Err(panic) => End::Panic(panic),
            Ok(call) => {
                let (call, span) = (pin!(call), Span::none());
                tokio::select! {
                    biased;
                    end = finish_call(call, &span, R::Response::into_outcome, timeout, &stop) => end,
                    never = keep(&lease, &control, &bell) => match never {},
                    never = cancelled(&control, &abort, cancel) => match never {},
                    () = too_long() => panic!("receiver has not answered within {REAL:?}, or a day of paused time"),
                }
            }
        };
        Performed::new(end, lease.is_cancelled())
    }
}

impl<R: Receiver> IntoFuture for Perform<R> {
    type Output = Performed;
    type IntoFuture = PerformFuture;

    fn into_future(self) -> PerformFuture {
        PerformFuture(Box::pin(self.run()))
    }
}

impl<R> fmt::Debug for Perform<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Perform").field("message", &self.message).finish_non_exhaustive()
    }
}

/// The future of [`Perform`].
#[must_use = "futures do nothing unless polled"]
pub struct PerformFuture(Pin<Box<dyn Future<Output = Performed> + Send>>);

impl Future for PerformFuture {
    type Output = Performed;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Performed> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for PerformFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerformFuture").finish_non_exhaustive()
    }
}

/// Waits until the receiver takes a call. A server would go on with other clones for ever; a test is told.
async fn ready<R: Receiver>(receiver: &mut R) {
    let ready = poll_fn(|cx| match guard(|| receiver.poll_ready(cx)) {
        Ok(poll) => poll.map_err(|error| Outcome::describe(&*error.into())),
        Err(panic) => Poll::Ready(Err(format!("it panicked: {panic}"))),
    });
    tokio::select! {
        biased;
        ready = ready => if let Err(error) = ready {
            panic!("receiver failed to become ready: {error}");
        },
        () = too_long() => panic!("receiver has not become ready within {REAL:?}, or a day of paused time"),
    }
}

/// Extends the lease as it is asked to, and takes it away at its end.
async fn keep(lease: &Lease, control: &LeaseControl, bell: &Notify) -> Infallible {
    loop {
        if let Some(wanted) = control.wanted(DELIVERY) {
            control.extended(DELIVERY, wanted);
        }
        let until = lease.deadline();
        tokio::select! {
            () = bell.notified() => {}
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                control.cancel(DELIVERY, Cancelled::LeaseLost);
                pending::<()>().await;
            }
        }
    }
}

async fn cancelled(control: &LeaseControl, abort: &StopSource, cancel: Option<(Duration, Cancelled)>) -> Infallible {
    if let Some((time, reason)) = cancel {
        sleep(time).await;
        control.cancel(DELIVERY, reason);
        if reason == Cancelled::Shutdown {
            abort.stop();
        }
    }
    pending().await
}
