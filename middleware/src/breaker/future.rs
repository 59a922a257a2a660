use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use chappe_core::BoxError;
use pin_project::{pin_project, pinned_drop};

use super::gate::Trial;

/// The future of [`Breaker`](super::Breaker).
#[must_use = "futures do nothing unless polled"]
#[pin_project(PinnedDrop)]
pub struct ResponseFuture<F> {
    #[pin]
    call: F,
    trial: Trial,
    /// Stays set if the call panics.
    is_polled: bool,
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(call: F, trial: Trial) -> Self {
        Self { call, trial, is_polled: false }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: 'static,
    E: Into<BoxError>,
{
    type Output = Result<R, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        *this.is_polled = true;
        let poll = this.call.poll(cx);
        *this.is_polled = false;
        let answer = ready!(poll).map_err(Into::into);
        this.trial.answered(&answer);
        Poll::Ready(answer)
    }
}

#[pinned_drop]
impl<F> PinnedDrop for ResponseFuture<F> {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        if *this.is_polled {
            this.trial.panicked();
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
