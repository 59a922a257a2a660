//! The futures of the layers that validate.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use chappe_core::BoxError;
use pin_project::pin_project;

/// The future of [`Validate`](super::Validate) and [`ValidatePublish`](super::ValidatePublish).
#[pin_project]
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<F>(#[pin] State<F>);

#[pin_project(project = Projected)]
#[derive(Debug)]
enum State<F> {
    Passed(#[pin] F),
    Refused(Option<BoxError>),
}

impl<F> ResponseFuture<F> {
    pub(super) fn passed(inner: F) -> Self {
        Self(State::Passed(inner))
    }

    pub(super) fn refused(error: impl Into<BoxError>) -> Self {
        Self(State::Refused(Some(error.into())))
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<R, E>>,
    E: Into<BoxError>,
{
    type Output = Result<R, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().0.project() {
            Projected::Passed(inner) => inner.poll(cx).map_err(Into::into),
            Projected::Refused(error) => Poll::Ready(Err(error.take().expect("not polled after completion"))),
        }
    }
}
