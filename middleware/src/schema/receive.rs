//! [`ValidateLayer`], the receiving half.

use std::task::{Context, Poll};

use chappe_core::{BoxError, Message, OutcomeError};
use tower_layer::Layer;
use tower_service::Service;

use super::{ResponseFuture, Schemas};

/// Rejects messages whose body does not match its schema. See the [module](super).
#[derive(Clone, Debug)]
pub struct ValidateLayer {
    schemas: Schemas,
}

impl ValidateLayer {
    /// Creates a layer for one [`Schema`](super::Schema), or for several.
    pub fn new(schemas: impl Into<Schemas>) -> Self {
        Self { schemas: schemas.into() }
    }
}

impl<S> Layer<S> for ValidateLayer {
    type Service = Validate<S>;

    fn layer(&self, inner: S) -> Validate<S> {
        Validate { inner, schemas: self.schemas.clone() }
    }
}

/// Made by [`ValidateLayer`].
#[derive(Clone, Debug)]
pub struct Validate<S> {
    inner: S,
    schemas: Schemas,
}

impl<S> Validate<S> {
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

impl<S> Service<Message> for Validate<S>
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
        match self.schemas.check(&message) {
            Ok(()) => ResponseFuture::passed(self.inner.call(message)),
            Err(mismatch) => ResponseFuture::refused(OutcomeError::reject(mismatch)),
        }
    }
}
