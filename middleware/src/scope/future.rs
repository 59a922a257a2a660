//! The future of [`FilterScope`](super::FilterScope).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use chappe_core::{IntoOutcome, Outcome};
use pin_project::pin_project;

/// The future of [`FilterScope`](super::FilterScope).
#[pin_project]
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<F>(#[pin] State<F>);

#[pin_project(project = Projected)]
#[derive(Debug)]
enum State<F> {
    Handled(#[pin] F),
    Decided(Option<Outcome>),
}

impl<F> ResponseFuture<F> {
    pub(super) fn handled(inner: F) -> Self {
        Self(State::Handled(inner))
    }

    pub(super) fn decided(outcome: Outcome) -> Self {
        Self(State::Decided(Some(outcome)))
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: IntoOutcome,
{
    type Output = Result<Outcome, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().0.project() {
            Projected::Handled(inner) => inner.poll(cx).map_ok(IntoOutcome::into_outcome),
            Projected::Decided(outcome) => Poll::Ready(Ok(outcome.take().expect("not polled after completion"))),
        }
    }
}
