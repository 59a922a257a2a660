//! [`ResponseFuture`], of a call that may be refused before it is made.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use chappe_core::BoxError;
use pin_project::pin_project;

/// The future of a layer that changes a message before it is passed on.
#[pin_project]
#[derive(Debug)]
pub struct ResponseFuture<F>(#[pin] State<F>);

#[pin_project(project = Project)]
#[derive(Debug)]
enum State<F> {
    Called(#[pin] F),
    /// `None` once the error was handed out.
    Refused(Option<BoxError>),
}

impl<F> ResponseFuture<F> {
    /// Waits for the inner service.
    pub fn called(future: F) -> Self {
        Self(State::Called(future))
    }

    /// Fails at once: the inner service was not called.
    pub fn refused(error: impl Into<BoxError>) -> Self {
        Self(State::Refused(Some(error.into())))
    }
}

/// # Panics
///
/// If it is polled after it was ready, as futures may.
impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<R, E>>,
    E: Into<BoxError>,
{
    type Output = Result<R, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().0.project() {
            Project::Called(future) => Poll::Ready(ready!(future.poll(cx)).map_err(Into::into)),
            Project::Refused(error) => Poll::Ready(Err(error.take().expect("polled after it was ready"))),
        }
    }
}
