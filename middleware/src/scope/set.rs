//! [`SetScopeLayer`], the publishing half.

use std::task::{Context, Poll};

use chappe_core::{Message, Str};
use tower_layer::Layer;
use tower_service::Service;

use super::SCOPE;

/// Says whom each message is for that does not say so itself. See the [module](super).
#[derive(Clone, Debug)]
pub struct SetScopeLayer {
    scope: Str,
}

impl SetScopeLayer {
    /// Creates a layer for a scope.
    pub fn new(scope: impl Into<Str>) -> Self {
        Self { scope: scope.into() }
    }
}

impl<S> Layer<S> for SetScopeLayer {
    type Service = SetScope<S>;

    fn layer(&self, inner: S) -> SetScope<S> {
        SetScope { inner, scope: self.scope.clone() }
    }
}

/// Made by [`SetScopeLayer`].
#[derive(Clone, Debug)]
pub struct SetScope<S> {
    inner: S,
    scope: Str,
}

impl<S> SetScope<S> {
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

/// Answers with the future of the service within: all is done before it begins.
impl<S: Service<Message>> Service<Message> for SetScope<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut message: Message) -> S::Future {
        if !message.attributes().contains(SCOPE) {
            message.attributes_mut().insert(SCOPE, self.scope.clone());
        }
        self.inner.call(message)
    }
}
