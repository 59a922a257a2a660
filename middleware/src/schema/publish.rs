//! [`ValidatePublishLayer`], the publishing half.

use std::task::{Context, Poll};

use chappe_core::{BoxError, Error, ErrorKind, Message};
use tower_layer::Layer;
use tower_service::Service;

use super::{ResponseFuture, Schemas};

/// Refuses to publish messages whose body does not match its schema, with
/// [`Invalid`](ErrorKind::Invalid). See the [module](super).
#[derive(Clone, Debug)]
pub struct ValidatePublishLayer {
    schemas: Schemas,
}

impl ValidatePublishLayer {
    /// Creates a layer for one [`Schema`](super::Schema), or for several.
    pub fn new(schemas: impl Into<Schemas>) -> Self {
        Self { schemas: schemas.into() }
    }
}

impl<S> Layer<S> for ValidatePublishLayer {
    type Service = ValidatePublish<S>;

    fn layer(&self, inner: S) -> ValidatePublish<S> {
        ValidatePublish { inner, schemas: self.schemas.clone() }
    }
}

/// Made by [`ValidatePublishLayer`].
#[derive(Clone, Debug)]
pub struct ValidatePublish<S> {
    inner: S,
    schemas: Schemas,
}

impl<S> ValidatePublish<S> {
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

impl<S> Service<Message> for ValidatePublish<S>
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
            Err(mismatch) => ResponseFuture::refused(Error::new(ErrorKind::Invalid, mismatch.to_string())),
        }
    }
}
