//! [`ResponseFuture`], the answer of a batching topic.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::{Error, ErrorKind, Published};

/// Resolves on the broker's word on one message published through [`Batched`](crate::Batched).
///
/// # Cancel safety
///
/// Dropped, the message may be published or not; see [`Batched`](crate::Batched).
#[must_use = "a message whose future is dropped may not be published"]
pub struct ResponseFuture(State);

enum State {
    Refused(Option<Error>),
    Queued(oneshot::Receiver<Result<Published, Error>>),
    Direct(BoxFuture<'static, Result<Published, Error>>),
}

impl ResponseFuture {
    pub(super) fn refused(error: Error) -> Self {
        Self(State::Refused(Some(error)))
    }

    pub(super) fn queued(answer: oneshot::Receiver<Result<Published, Error>>) -> Self {
        Self(State::Queued(answer))
    }

    pub(super) fn direct(call: impl Future<Output = Result<Published, Error>> + Send + 'static) -> Self {
        Self(State::Direct(Box::pin(call)))
    }
}

impl Future for ResponseFuture {
    type Output = Result<Published, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Refused(error) => Poll::Ready(Err(error.take().expect("polled after it resolved"))),
            // Nobody drops the other end without an answer but a runtime that is being torn down.
            State::Queued(answer) => {
                Pin::new(answer).poll(cx).map(|answer| answer.unwrap_or_else(|_| Err(shut_down().ambiguous())))
            }
            State::Direct(call) => call.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// The error of a message left behind by a runtime that shuts down.
pub(super) fn shut_down() -> Error {
    Error::new(ErrorKind::Unavailable, "runtime was shut down before the message was published")
}
