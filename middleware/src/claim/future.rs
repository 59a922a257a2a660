//! [`ResponseFuture`], of a call with or without a store before it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use chappe_core::BoxError;
use pin_project::pin_project;

/// The future of the layers around a [`ClaimStore`](super::ClaimStore).
///
/// A message that has nothing to do with the store is handed on without allocating.
#[pin_project]
pub struct ResponseFuture<F, R, T> {
    #[pin]
    state: State<F, T>,
    convert: fn(R) -> T,
}

#[pin_project(project = Project)]
enum State<F, T> {
    Called(#[pin] F),
    Stored(Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>),
}

impl<F, R, T> ResponseFuture<F, R, T> {
    pub(super) fn called(future: F, convert: fn(R) -> T) -> Self {
        Self { state: State::Called(future), convert }
    }

    pub(super) fn stored(
        future: impl Future<Output = Result<T, BoxError>> + Send + 'static,
        convert: fn(R) -> T,
    ) -> Self {
        Self { state: State::Stored(Box::pin(future)), convert }
    }
}

impl<F, R, T, E> Future for ResponseFuture<F, R, T>
where
    F: Future<Output = Result<R, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.state.project() {
            Project::Called(future) => Poll::Ready(ready!(future.poll(cx)).map(this.convert).map_err(Into::into)),
            Project::Stored(future) => future.as_mut().poll(cx),
        }
    }
}

impl<F, R, T> fmt::Debug for ResponseFuture<F, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
