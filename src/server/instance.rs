//! [`Instance`], a worker's own clone of the user's service, kept usable.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use chappe_core::backend::StopToken;
use chappe_core::{BoxError, Reason};
use tokio::time::{Instant, sleep, sleep_until};
use tower_service::Service;
use tracing::Span;

use super::Backoff;

/// How long a worker waits for its next clone after `poll_ready` failed.
const AGAIN: Backoff = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(5));

/// A worker's own clone of the user's service. One that panicked, or is not to be used any more, is
/// replaced.
pub(super) struct Instance<S> {
    prototype: Arc<Mutex<S>>,
    service: S,
    /// Why it failed to become ready: it must not be asked again.
    failure: Option<Reason>,
}

/// How a call ended.
pub(crate) enum End<T> {
    /// The service answered.
    Answer(Result<T, BoxError>),
    /// It panicked, and said this.
    Panic(String),
    /// It took longer than the timeout.
    Timeout(Duration),
    /// It was cancelled at the deadline of a shutdown.
    Abort,
}

impl<S: Clone> Instance<S> {
    pub(super) fn new(prototype: &Arc<Mutex<S>>) -> Self {
        Self { prototype: Arc::clone(prototype), service: clone(prototype), failure: None }
    }

    /// Replaces the clone by a new one, which holds no permit and no half-done call.
    pub(super) fn renew(&mut self) {
        self.service = clone(&self.prototype);
        self.failure = None;
    }

    /// Whether the service takes a call now. If not, [`ready`](Self::ready) waits until it does.
    pub(super) async fn is_ready<T>(&mut self) -> bool
    where
        S: Service<T, Error: Into<BoxError>>,
    {
        poll_fn(|cx| Poll::Ready(matches!(self.poll_ready(cx), Poll::Ready(true)))).await
    }

    /// Waits until the service takes a call. `false` if `stop` came first.
    pub(super) async fn ready<T>(&mut self, stop: &StopToken) -> bool
    where
        S: Service<T, Error: Into<BoxError>>,
    {
        let mut failures = 0;
        loop {
            tokio::select! {
                biased;
                ready = poll_fn(|cx| self.poll_ready(cx)) => if ready { return true },
                () = stop.stopped() => return false,
            }
            failures += 1;
            let error = self.failure.as_deref().unwrap_or_default();
            tracing::error!(error, "receiver failed to become ready, another clone is tried");
            self.renew();
            tokio::select! {
                () = sleep(AGAIN.delay(failures)) => {}
                () = stop.stopped() => return false,
            }
        }
    }

    /// Whether the service takes a call now; `false` if it failed.
    pub(super) fn poll_ready<T>(&mut self, cx: &mut Context<'_>) -> Poll<bool>
    where
        S: Service<T, Error: Into<BoxError>>,
    {
        if self.failure.is_none() {
            match guard(|| self.service.poll_ready(cx)) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(Ok(()))) => return Poll::Ready(true),
                Ok(Poll::Ready(Err(error))) => self.failure = Some(error.into().to_string().into()),
                Err(panic) => self.failure = Some(panic.into()),
            }
        }
        Poll::Ready(false)
    }

    /// Calls the service, which is ready. The call itself may panic.
    pub(super) fn call<T>(&mut self, request: T, span: &Span) -> Result<S::Future, String>
    where
        S: Service<T>,
    {
        guard(|| span.in_scope(|| self.service.call(request)))
    }
}

/// Polls a call to its end or for as far as it goes at once; a panic ends it. The answer is converted on the
/// spot, as it need not be `Send`.
pub(super) fn poll_call<F, A, T, E>(
    mut call: Pin<&mut F>,
    cx: &mut Context<'_>,
    span: &Span,
    convert: fn(A) -> T,
) -> Poll<End<T>>
where
    F: Future<Output = Result<A, E>>,
    E: Into<BoxError>,
{
    let poll = || call.as_mut().poll(cx).map(|answer| answer.map(convert).map_err(E::into));
    match guard(|| span.in_scope(poll)) {
        Ok(poll) => poll.map(End::Answer),
        Err(panic) => Poll::Ready(End::Panic(panic)),
    }
}

/// Waits for the end of a call that did not end at once.
pub(crate) async fn finish_call<F, A, T, E>(
    mut call: Pin<&mut F>,
    span: &Span,
    convert: fn(A) -> T,
    timeout: Option<Duration>,
    abort: &StopToken,
) -> End<T>
where
    F: Future<Output = Result<A, E>>,
    E: Into<BoxError>,
{
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    tokio::select! {
        biased;
        end = poll_fn(|cx| poll_call(call.as_mut(), cx, span, convert)) => end,
        () = abort.stopped() => End::Abort,
        () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
            End::Timeout(timeout.unwrap_or_default())
        }
    }
}

/// Runs the user's code; a panic becomes what it said.
pub(crate) fn guard<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    // Whatever the panic left half done is dropped with the clone it happened in.
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

fn clone<S: Clone>(prototype: &Mutex<S>) -> S {
    prototype.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
