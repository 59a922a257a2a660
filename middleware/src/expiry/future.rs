//! The future of [`Expire`](super::Expire).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use chappe_core::{BoxError, Error, IntoOutcome, Outcome, Published};
use pin_project::pin_project;

/// The future of [`Expire`](super::Expire).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<F>(#[pin] State<F>);

#[pin_project(project = Projected)]
enum State<F> {
    Handled(#[pin] F),
    Decided(Option<Outcome>),
    Published(Pin<Box<dyn Future<Output = Result<Published, Error>> + Send>>),
}

impl<F> ResponseFuture<F> {
    pub(super) fn handled(inner: F) -> Self {
        Self(State::Handled(inner))
    }

    pub(super) fn decided(outcome: Outcome) -> Self {
        Self(State::Decided(Some(outcome)))
    }

    pub(super) fn published(publish: impl Future<Output = Result<Published, Error>> + Send + 'static) -> Self {
        Self(State::Published(Box::pin(publish)))
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: IntoOutcome,
    E: Into<BoxError>,
{
    type Output = Result<Outcome, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().0.project() {
            Projected::Handled(inner) => inner.poll(cx).map_ok(IntoOutcome::into_outcome).map_err(Into::into),
            Projected::Decided(outcome) => Poll::Ready(Ok(outcome.take().expect("not polled after completion"))),
            Projected::Published(publish) => {
                publish.as_mut().poll(cx).map_ok(IntoOutcome::into_outcome).map_err(Into::into)
            }
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
