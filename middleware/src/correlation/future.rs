//! The futures within which a correlation holds.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;

use super::Correlation;
use super::ids::CURRENT;
use crate::context;

/// The future of [`AdoptCorrelation`](super::AdoptCorrelation).
#[pin_project]
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<F> {
    #[pin]
    scope: Scope<F>,
}

/// A future within which a correlation holds. Made by [`Correlation::scope`].
#[pin_project]
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Scope<F> {
    #[pin]
    inner: F,
    correlation: Option<Correlation>,
}

impl<F> ResponseFuture<F> {
    pub(super) fn new(inner: F, correlation: Option<Correlation>) -> Self {
        Self { scope: Scope::new(inner, correlation) }
    }
}

impl<F> Scope<F> {
    pub(super) fn new(inner: F, correlation: Option<Correlation>) -> Self {
        Self { inner, correlation }
    }
}

impl<F: Future> Future for ResponseFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().scope.poll(cx)
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        context::with(&CURRENT, this.correlation, || this.inner.poll(cx))
    }
}
