//! [`FlakyLayer`], which makes the first attempt of some messages fail.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use chappe::{BoxError, Message, Receiver};
use futures_util::future::Either;
use tower::{Layer, Service};

/// Fails the first attempt of one in so many messages, before the receiver sees it: a failed attempt has had
/// no effect, so its retry has it once.
#[derive(Clone)]
pub(crate) struct FlakyLayer {
    one_in: u64,
    seen: Arc<AtomicU64>,
}

impl FlakyLayer {
    /// Fails one in `one_in` messages, or none if that is 0.
    pub(crate) fn new(one_in: u64) -> Self {
        Self { one_in, seen: Arc::default() }
    }
}

impl<S> Layer<S> for FlakyLayer {
    type Service = Flaky<S>;

    fn layer(&self, inner: S) -> Flaky<S> {
        Flaky { inner, layer: self.clone() }
    }
}

/// The receiver that [`FlakyLayer`] makes.
#[derive(Clone)]
pub(crate) struct Flaky<S> {
    inner: S,
    layer: FlakyLayer,
}

impl<S: Receiver + Service<Message, Error = BoxError>> Service<Message> for Flaky<S> {
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<Ready<Result<S::Response, BoxError>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, message: Message) -> Self::Future {
        let FlakyLayer { one_in, seen } = &self.layer;
        if *one_in > 0 && message.attempt() == 1 && (seen.fetch_add(1, Ordering::Relaxed) + 1) % one_in == 0 {
            return Either::Left(ready(Err("made to fail".into())));
        }
        Either::Right(self.inner.call(message))
    }
}
