//! The futures of rehearsals.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use chappe_core::{BoxError, Published};
use pin_project::pin_project;

use super::DryRun;
use super::flag::CURRENT;
use crate::context;

/// The future of [`AdoptDryRun`](super::AdoptDryRun).
#[pin_project]
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<F>(#[pin] Adoption<F>);

#[pin_project(project = ProjectedAdoption)]
#[derive(Debug)]
enum Adoption<F> {
    Handled(#[pin] Scope<F>),
    Refused(Option<BoxError>),
}

/// A future within which it holds whether this is a rehearsal. Made by [`DryRun::scope`].
#[pin_project]
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Scope<F> {
    #[pin]
    inner: F,
    dry_run: Option<DryRun>,
}

/// The future of [`SuppressDryRun`](super::SuppressDryRun).
#[pin_project]
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Suppression<F>(#[pin] Option<F>);

impl<F> ResponseFuture<F> {
    pub(super) fn handled(inner: F, dry_run: DryRun) -> Self {
        Self(Adoption::Handled(Scope::new(inner, dry_run)))
    }

    pub(super) fn refused(error: BoxError) -> Self {
        Self(Adoption::Refused(Some(error)))
    }
}

impl<F> Scope<F> {
    pub(super) fn new(inner: F, dry_run: DryRun) -> Self {
        Self { inner, dry_run: Some(dry_run) }
    }
}

impl<F> Suppression<F> {
    /// `None` publishes nothing.
    pub(super) fn new(inner: Option<F>) -> Self {
        Self(inner)
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
            ProjectedAdoption::Handled(scope) => scope.poll(cx).map_err(Into::into),
            ProjectedAdoption::Refused(error) => Poll::Ready(Err(error.take().expect("not polled after completion"))),
        }
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        context::with(&CURRENT, this.dry_run, || this.inner.poll(cx))
    }
}

impl<F, E> Future for Suppression<F>
where
    F: Future<Output = Result<Published, E>>,
{
    type Output = Result<Published, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().0.as_pin_mut() {
            Some(inner) => inner.poll(cx),
            None => Poll::Ready(Ok(Published::default())),
        }
    }
}
