use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use chappe_core::BoxError;
use pin_project::pin_project;

use super::{Verdict, guard};

/// The future of [`CatchPanic`](super::CatchPanic).
#[must_use = "futures do nothing unless polled"]
#[pin_project]
pub struct ResponseFuture<F> {
    #[pin]
    state: State<F>,
}

#[pin_project(project = StateProject)]
enum State<F> {
    Running {
        #[pin]
        call: F,
        verdict: Verdict,
    },
    Ended(Option<BoxError>),
}

impl<F> ResponseFuture<F> {
    pub(super) const fn running(call: F, verdict: Verdict) -> Self {
        Self { state: State::Running { call, verdict } }
    }

    pub(super) const fn panicked(error: BoxError) -> Self {
        Self { state: State::Ended(Some(error)) }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<R, E>>,
    E: Into<BoxError>,
{
    type Output = Result<R, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        match state.as_mut().project() {
            StateProject::Running { call, verdict } => {
                let error = match guard(|| call.poll(cx)) {
                    Ok(poll) => return Poll::Ready(ready!(poll).map_err(Into::into)),
                    Err(panicked) => verdict.error(panicked),
                };
                // What the panic left of the future may well panic again.
                let _ = guard(|| state.set(State::Ended(None)));
                Poll::Ready(Err(error))
            }
            StateProject::Ended(error) => {
                Poll::Ready(Err(error.take().expect("`ResponseFuture` is not polled after completion")))
            }
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
