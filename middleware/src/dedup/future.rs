//! The future of [`Dedup`](super::Dedup).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use chappe_core::{BoxError, Outcome};

/// The future of [`Dedup`](super::Dedup).
///
/// # Cancel safety
///
/// Dropped, the handling is dropped and the reservation is abandoned; a confirmation that is under way may
/// or may not be made.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture(Pin<Box<dyn Future<Output = Result<Outcome, BoxError>> + Send>>);

impl ResponseFuture {
    pub(super) fn new(handling: impl Future<Output = Result<Outcome, BoxError>> + Send + 'static) -> Self {
        Self(Box::pin(handling))
    }
}

impl Future for ResponseFuture {
    type Output = Result<Outcome, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
