use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use chappe_core::{BoxError, IntoOutcome, MessageId, Outcome};
use pin_project::pin_project;

use super::Rule;

/// The future of [`IgnoreErrors`](super::IgnoreErrors).
#[must_use = "futures do nothing unless polled"]
#[pin_project]
pub struct ResponseFuture<F> {
    #[pin]
    call: F,
    rule: Arc<Rule>,
    id: Option<MessageId>,
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(call: F, rule: Arc<Rule>, id: Option<MessageId>) -> Self {
        Self { call, rule, id }
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
        let this = self.project();
        let error = match ready!(this.call.poll(cx)) {
            Ok(answer) => return Poll::Ready(Ok(answer.into_outcome())),
            Err(error) => error.into(),
        };
        let Rule { name, predicate, count } = &**this.rule;
        if !predicate(&*error) {
            return Poll::Ready(Err(error));
        }
        count.fetch_add(1, Ordering::Relaxed);
        let (error, id) = (Outcome::describe(&*error), this.id.as_ref().map(tracing::field::display));
        tracing::warn!(target: "chappe::ignore_errors", name, error, id, "error is ignored, message is acknowledged");
        Poll::Ready(Ok(Outcome::Ack))
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
