//! [`AdoptCorrelationLayer`], the receiving half.

use std::task::{Context, Poll};

use chappe_core::Message;
use tower_layer::Layer;
use tower_service::Service;

use super::ids::CURRENT;
use super::{Correlation, ResponseFuture};
use crate::context;

/// Has the correlation of each message hold while it is handled. See the [module](super).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AdoptCorrelationLayer {}

impl AdoptCorrelationLayer {
    /// Creates the layer.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl<S> Layer<S> for AdoptCorrelationLayer {
    type Service = AdoptCorrelation<S>;

    fn layer(&self, inner: S) -> AdoptCorrelation<S> {
        AdoptCorrelation { inner }
    }
}

/// Made by [`AdoptCorrelationLayer`].
#[derive(Clone, Copy, Debug)]
pub struct AdoptCorrelation<S> {
    inner: S,
}

impl<S> AdoptCorrelation<S> {
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

impl<S: Service<Message>> Service<Message> for AdoptCorrelation<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, message: Message) -> ResponseFuture<S::Future> {
        let mut correlation = Correlation::of(&message);
        // A service may publish in its call, not only in its future.
        let future = context::with(&CURRENT, &mut correlation, || self.inner.call(message));
        ResponseFuture::new(future, correlation)
    }
}
