//! [`ResponseFuture`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use chappe_core::BoxError;
use pin_project::pin_project;

use super::watch::TraceWatch;
use crate::observe::{Answer, Observed};

/// The future of [`TracePublish`](super::TracePublish) and [`TraceReceive`](super::TraceReceive).
///
/// # Cancel safety
///
/// Dropped before it is done, it ends its span with the error `cancelled`.
#[pin_project]
#[derive(Debug)]
pub struct ResponseFuture<F, A>(#[pin] Observed<F, TraceWatch, A>);

impl<F, A> ResponseFuture<F, A> {
    pub(super) fn new(watch: TraceWatch, call: impl FnOnce() -> F) -> Self {
        Self(Observed::new(watch, call))
    }
}

impl<F, T, E, A> Future for ResponseFuture<F, A>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
    A: Answer<T>,
{
    type Output = Result<A::Output, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().0.poll(cx)
    }
}
