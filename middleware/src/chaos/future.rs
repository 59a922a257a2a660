use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use chappe_core::BoxError;
use futures_util::future::BoxFuture;
use pin_project::pin_project;

/// The future of [`Chaos`](super::Chaos).
#[must_use = "futures do nothing unless polled"]
#[pin_project]
pub struct ResponseFuture<R, F> {
    #[pin]
    state: State<R, F>,
}

#[pin_project(project = StateProject)]
enum State<R, F> {
    Spared(#[pin] F),
    Doomed(BoxFuture<'static, Result<R, BoxError>>),
}

impl<R, F> ResponseFuture<R, F> {
    pub(super) const fn spared(call: F) -> Self {
        Self { state: State::Spared(call) }
    }

    pub(super) fn doomed(call: impl Future<Output = Result<R, BoxError>> + Send + 'static) -> Self {
        Self { state: State::Doomed(Box::pin(call)) }
    }
}

impl<F, R, E> Future for ResponseFuture<R, F>
where
    F: Future<Output = Result<R, E>>,
    E: Into<BoxError>,
{
    type Output = Result<R, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProject::Spared(call) => call.poll(cx).map_err(Into::into),
            StateProject::Doomed(call) => call.as_mut().poll(cx),
        }
    }
}

impl<R, F> fmt::Debug for ResponseFuture<R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
