use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use chappe_core::{BoxError, Error, ErrorKind, Lease};
use pin_project::pin_project;
use tokio::time::{Sleep, sleep};

use super::Limit;

/// The future of [`Timeout`](super::Timeout).
#[must_use = "futures do nothing unless polled"]
#[pin_project]
pub struct ResponseFuture<F> {
    #[pin]
    call: F,
    clock: Clock,
    #[pin]
    sleep: Option<Sleep>,
}

/// Where the time has got to.
enum Clock {
    /// Not looked at yet.
    Stopped {
        limit: Limit,
        lease: Option<Lease>,
    },
    Running(Duration),
    /// There is no limit.
    Endless,
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(call: F, limit: Limit, lease: Option<Lease>) -> Self {
        Self { call, clock: Clock::Stopped { limit, lease }, sleep: None }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<R, E>>,
    E: Into<BoxError>,
{
    type Output = Result<R, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(answer) = this.call.poll(cx) {
            return Poll::Ready(answer.map_err(Into::into));
        }
        if let Clock::Stopped { limit, lease } = this.clock {
            *this.clock = match limit.of(lease.as_ref()) {
                Some(limit) => {
                    this.sleep.set(Some(sleep(limit)));
                    Clock::Running(limit)
                }
                None => Clock::Endless,
            };
        }
        let (Clock::Running(limit), Some(sleep)) = (&*this.clock, this.sleep.as_pin_mut()) else {
            return Poll::Pending;
        };
        ready!(sleep.poll(cx));
        let error = Error::new(ErrorKind::Timeout, format!("no answer within {limit:?}")).ambiguous();
        Poll::Ready(Err(error.into()))
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
