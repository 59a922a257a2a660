//! [`Recode`], the service of every layer that makes another message of a message.

use std::task::{Context, Poll};

use chappe_core::{BoxError, Message};
use tower_service::Service;

use super::ResponseFuture;

/// Makes another message of a message, at once.
pub trait Codec {
    /// Makes the message the inner service is called with.
    ///
    /// # Errors
    ///
    /// Where the message cannot be encoded or decoded; the inner service is then not called. What can never
    /// be decoded is an [`OutcomeError::reject`](chappe_core::OutcomeError::reject).
    fn recode(&self, message: Message) -> Result<Message, BoxError>;
}

/// Calls a service with what a [`Codec`] makes of the message.
///
/// `poll_ready` is the inner service's. A message that is refused leaves the inner service ready and
/// uncalled, as tower's own filter does.
#[derive(Clone, Copy, Debug)]
pub struct Recode<S, C> {
    inner: S,
    codec: C,
}

impl<S, C> Recode<S, C> {
    /// Puts a codec before a service.
    pub fn new(inner: S, codec: C) -> Self {
        Self { inner, codec }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the inner service out.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C> Service<Message> for Recode<S, C>
where
    S: Service<Message, Error: Into<BoxError>>,
    C: Codec,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, message: Message) -> Self::Future {
        match self.codec.recode(message) {
            Ok(message) => ResponseFuture::called(self.inner.call(message)),
            Err(error) => ResponseFuture::refused(error),
        }
    }
}
