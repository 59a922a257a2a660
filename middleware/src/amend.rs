//! [`Amend`], the service of every layer that only adds to a message.

use std::task::{Context, Poll};

use chappe_core::Message;
use tower_service::Service;

/// Adds something to messages, which cannot fail.
pub trait Amendment {
    /// Changes the message the service within is called with.
    fn amend(&self, message: &mut Message);
}

/// Calls the service within with what an [`Amendment`] makes of the message, and answers with its very
/// future: all is done before that begins.
#[derive(Clone, Copy, Debug)]
pub struct Amend<S, A> {
    inner: S,
    amendment: A,
}

impl<S, A> Amend<S, A> {
    pub(crate) fn new(inner: S, amendment: A) -> Self {
        Self { inner, amendment }
    }

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

impl<S: Service<Message>, A: Amendment> Service<Message> for Amend<S, A> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut message: Message) -> S::Future {
        self.amendment.amend(&mut message);
        self.inner.call(message)
    }
}
