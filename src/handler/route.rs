//! [`Route`], a handler or service with its type erased.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;

use crate::{BoxError, IntoOutcome, Message, Outcome, Receiver};

type BoxFuture = Pin<Box<dyn Future<Output = Result<Outcome, BoxError>> + Send>>;

/// A handler or service with its type erased: what the layers of a router and of a handler are put around.
///
/// It is a [`Receiver`] that is always ready, since readiness is awaited in the call. A clone costs a
/// reference count.
#[derive(Clone)]
pub struct Route(Arc<dyn Fn(Message) -> BoxFuture + Send + Sync>);

/// The future of a [`Route`] and of a [`Router`](crate::Router).
///
/// # Cancel safety
///
/// Dropped, the handler stops where it was, and the message has no outcome.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture(BoxFuture);

impl Route {
    /// A route that runs what `start` returns, at one allocation for the future.
    pub(crate) fn new<F>(start: impl Fn(Message) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Outcome, BoxError>> + Send + 'static,
    {
        Self(Arc::new(move |message| Box::pin(start(message))))
    }

    /// Erases the type of a service.
    ///
    /// # Examples
    ///
    /// ```
    /// use chappe::handler::Route;
    /// use chappe::{BoxError, Message};
    ///
    /// let route = Route::from_service(tower::service_fn(async |_: Message| Ok::<_, BoxError>(())));
    /// ```
    pub fn from_service(service: impl Receiver + Sync) -> Self {
        Self::new(move |message| {
            let mut service = service.clone();
            async move {
                poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
                service.call(message).await.map(IntoOutcome::into_outcome).map_err(Into::into)
            }
        })
    }

    /// Starts on a message.
    pub(crate) fn start(&self, message: Message) -> ResponseFuture {
        ResponseFuture((self.0)(message))
    }
}

impl Service<Message> for Route {
    type Response = Outcome;
    type Error = BoxError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Message) -> ResponseFuture {
        self.start(message)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").finish_non_exhaustive()
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
