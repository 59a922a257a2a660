//! [`AdoptDryRunLayer`], the receiving half.

use std::task::{Context, Poll};

use chappe_core::{BoxError, Message};
use tower_layer::Layer;
use tower_service::Service;

use super::flag::CURRENT;
use super::{DryRun, ResponseFuture};
use crate::context;

/// Has [`DryRun::current`] tell, while a message is handled, whether it is a rehearsal. See the
/// [module](super).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AdoptDryRunLayer {}

impl AdoptDryRunLayer {
    /// Creates the layer.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl<S> Layer<S> for AdoptDryRunLayer {
    type Service = AdoptDryRun<S>;

    fn layer(&self, inner: S) -> AdoptDryRun<S> {
        AdoptDryRun { inner }
    }
}

/// Made by [`AdoptDryRunLayer`].
#[derive(Clone, Copy, Debug)]
pub struct AdoptDryRun<S> {
    inner: S,
}

impl<S> AdoptDryRun<S> {
    /// The service within.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service within, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service within, taken out.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S> Service<Message> for AdoptDryRun<S>
where
    S: Service<Message, Error: Into<BoxError>>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, message: Message) -> ResponseFuture<S::Future> {
        match DryRun::of(&message) {
            Ok(dry_run) => {
                let future = context::with(&CURRENT, &mut Some(dry_run), || self.inner.call(message));
                ResponseFuture::handled(future, dry_run)
            }
            Err(error) => ResponseFuture::refused(error.into()),
        }
    }
}
