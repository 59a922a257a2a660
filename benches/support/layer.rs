//! A layer that does next to nothing, to see what a layer costs.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use chappe::Message;
use pin_project::pin_project;
use tower::{Layer, Service};

/// Looks at an attribute on the way in and at the answer on the way out.
#[derive(Clone, Copy, Debug, Default)]
pub struct LookLayer;

impl<S> Layer<S> for LookLayer {
    type Service = Look<S>;

    fn layer(&self, inner: S) -> Look<S> {
        Look { inner }
    }
}

/// See [`LookLayer`].
#[derive(Clone, Copy, Debug)]
pub struct Look<S> {
    inner: S,
}

impl<S: Service<Message>> Service<Message> for Look<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, message: Message) -> ResponseFuture<S::Future> {
        let traced = black_box(message.attributes().contains("type"));
        ResponseFuture { inner: self.inner.call(message), traced }
    }
}

/// The future of [`Look`].
#[pin_project]
pub struct ResponseFuture<F> {
    #[pin]
    inner: F,
    traced: bool,
}

impl<F: Future> Future for ResponseFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let output = ready!(this.inner.poll(cx));
        black_box(*this.traced);
        Poll::Ready(output)
    }
}
