//! [`BoxTopic`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tower_service::Service;

use crate::{Error, Message, Published, Topic};

/// Any [`Topic`], with errors turned into [`Error`]s.
///
/// A clone is a clone of the topic, and has to become ready by itself.
pub struct BoxTopic(Box<dyn ObjectTopic>);

impl BoxTopic {
    /// Erases the type of a topic.
    pub fn new(topic: impl Topic + Sync) -> Self {
        Self(Box::new(topic))
    }
}

impl Service<Message> for BoxTopic {
    type Response = Published;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.object_poll_ready(cx)
    }

    fn call(&mut self, message: Message) -> ResponseFuture {
        ResponseFuture(self.0.object_call(message))
    }
}

impl Clone for BoxTopic {
    fn clone(&self) -> Self {
        Self(self.0.object_clone())
    }
}

impl fmt::Debug for BoxTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxTopic").finish_non_exhaustive()
    }
}

/// Resolves as the call to the topic behind a [`BoxTopic`] does.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture(BoxFuture<'static, Result<Published, Error>>);

impl Future for ResponseFuture {
    type Output = Result<Published, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

// Private, with names of its own: it is implemented for every topic.
trait ObjectTopic: Send + Sync {
    fn object_clone(&self) -> Box<dyn ObjectTopic>;
    fn object_poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;
    fn object_call(&mut self, message: Message) -> BoxFuture<'static, Result<Published, Error>>;
}

impl<T: Topic + Sync> ObjectTopic for T {
    fn object_clone(&self) -> Box<dyn ObjectTopic> {
        Box::new(self.clone())
    }

    fn object_poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_ready(cx).map_err(Error::from_boxed)
    }

    fn object_call(&mut self, message: Message) -> BoxFuture<'static, Result<Published, Error>> {
        Box::pin(self.call(message).map(|result| result.map_err(Error::from_boxed)))
    }
}
