//! [`Leased`], which does not begin on what somebody else may have by now.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use chappe_core::{BoxError, Error, ErrorKind, Lease, Message};
use pin_project::pin_project;
use tower_service::Service;

/// How often this process has tried the message before: in the [extensions](Message::extensions) of one
/// that is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated(pub u32);

/// Refuses to repeat messages whose lease is cancelled, with [`ErrorKind::LeaseLost`].
///
/// A policy of tower's retry cannot take back a retry it has decided on, so this stands behind it.
#[derive(Clone, Copy, Debug)]
pub struct Leased<S> {
    inner: S,
}

impl<S> Leased<S> {
    pub(super) const fn new(inner: S) -> Self {
        Self { inner }
    }

    /// The service inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to be changed.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes out the service inside.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S> Service<Message> for Leased<S>
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
        let lost = message.extensions().get::<Repeated>().and(message.lease()).and_then(Lease::is_cancelled);
        let state = match lost {
            None => State::Called(self.inner.call(message)),
            Some(_) => State::Refused,
        };
        ResponseFuture { state }
    }
}

/// The future of [`Leased`].
#[must_use = "futures do nothing unless polled"]
#[pin_project]
pub struct ResponseFuture<F> {
    #[pin]
    state: State<F>,
}

#[pin_project(project = StateProject)]
enum State<F> {
    Called(#[pin] F),
    Refused,
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<R, E>>,
    E: Into<BoxError>,
{
    type Output = Result<R, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProject::Called(call) => call.poll(cx).map_err(Into::into),
            StateProject::Refused => {
                let error = Error::new(ErrorKind::LeaseLost, "message is not tried again, its lease is cancelled");
                Poll::Ready(Err(error.into()))
            }
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
