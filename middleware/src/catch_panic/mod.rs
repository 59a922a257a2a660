//! Turns a panic into an error, on receivers and on topics.
//!
//! | the service panics | what its caller gets |
//! |---|---|
//! | in `poll_ready` | an error; as always after that, this clone is not to be used again |
//! | in `call`, or while its future is polled | an error, from the future |
//! | as the panicked future is dropped | nothing more: that panic is swallowed |
//!
//! The error is of [`ErrorKind::Other`] and
//! [ambiguous](chappe_core::Error::is_ambiguous), as nobody knows what was done before; its source is a
//! [`Panicked`] with the text of the panic. It means retry, or with [`reject`](CatchPanicLayer::reject) the
//! dead letter. Nothing is acknowledged.
//!
//! The server catches panics as well. This layer is for those that other layers are to see: put it inside
//! of a breaker, a dead letter or a retry. The server replaces the clone that panicked by a fresh one, which a
//! layer cannot: a service that keeps something between its calls has to bear a call that was cut off. The
//! process must not be built with `panic = "abort"`.
//!
//! # Examples
//!
//! ```
//! use chappe_core::{BoxError, Message, Outcome};
//! use chappe_middleware::catch_panic::CatchPanicLayer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let receiver = ServiceBuilder::new()
//!     .layer(CatchPanicLayer::new())
//!     .service(service_fn(async |message: Message| {
//!         assert!(!message.body().is_empty(), "empty body");
//!         Ok::<_, BoxError>(())
//!     }));
//!
//! let error = receiver.oneshot(Message::new("")).await.unwrap_err();
//! assert_eq!(Outcome::describe(&*error), "service panicked: empty body");
//! # }
//! ```

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use chappe_core::{BoxError, Error, ErrorKind, Message, OutcomeError};
use tower_service::Service;

mod future;
mod layer;

pub use future::ResponseFuture;
pub use layer::CatchPanicLayer;

/// Turns a panic of its service into an error; see the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct CatchPanic<S> {
    inner: S,
    verdict: Verdict,
}

impl<S> CatchPanic<S> {
    /// Turns panics of `inner` into errors that mean retry.
    pub const fn new(inner: S) -> Self {
        Self { inner, verdict: Verdict::Retry }
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

impl<S> Service<Message> for CatchPanic<S>
where
    S: Service<Message, Error: Into<BoxError>>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match guard(|| self.inner.poll_ready(cx)) {
            Ok(poll) => poll.map_err(Into::into),
            Err(panicked) => Poll::Ready(Err(self.verdict.error(panicked))),
        }
    }

    fn call(&mut self, message: Message) -> ResponseFuture<S::Future> {
        match guard(|| self.inner.call(message)) {
            Ok(call) => ResponseFuture::running(call, self.verdict),
            Err(panicked) => ResponseFuture::panicked(self.verdict.error(panicked)),
        }
    }
}

/// What a panic said; the source of the error it became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked {
    text: String,
}

impl Panicked {
    /// What the panic said, if it said so in text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Panicked {}

/// What a panic means for the message.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    Retry,
    Reject,
}

impl Verdict {
    fn error(self, panicked: Panicked) -> BoxError {
        let error = Error::new(ErrorKind::Other, "service panicked").ambiguous().with_source(panicked);
        match self {
            Self::Retry => error.into(),
            Self::Reject => OutcomeError::reject(error).into(),
        }
    }
}

/// Runs code of the user. What a panic leaves half done is not looked at again: a future is dropped, and a
/// service has to become ready anew.
fn guard<T>(code: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| Panicked { text: text(&*panic).to_owned() })
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message")
}
