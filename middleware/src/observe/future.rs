//! [`Observed`], a call that is being watched.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use chappe_core::BoxError;
use pin_project::pin_project;

use super::{Answer, Ending, Watch, Watched};

/// A call of a service that is being watched.
#[pin_project]
pub(crate) struct Observed<F, W: Watch, A> {
    // Before the watch: what the call holds is gone when its end is noted.
    #[pin]
    inner: F,
    watched: Watched<W>,
    answer: PhantomData<fn() -> A>,
}

impl<F, W: Watch, A> Observed<F, W, A> {
    /// Watches the call that `call` makes.
    pub(crate) fn new(watch: W, call: impl FnOnce() -> F) -> Self {
        let mut watched = Watched::new(watch);
        let inner = watched.within(call);
        Self { inner, watched, answer: PhantomData }
    }
}

impl<F, T, E, W, A> Future for Observed<F, W, A>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
    W: Watch,
    A: Answer<T>,
{
    type Output = Result<A::Output, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let inner = this.inner;
        // The conversion is the user's code too, and may panic.
        let result = ready!(this.watched.within(|| inner.poll(cx).map_ok(A::convert).map_err(E::into)));
        this.watched.end(match &result {
            Ok(answer) => A::ending(answer),
            Err(error) => Ending::Failed(error),
        });
        Poll::Ready(result)
    }
}

impl<F: fmt::Debug, W: Watch, A> fmt::Debug for Observed<F, W, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
