//! Takes no more messages than so many in a time, on receivers and on topics.
//!
//! A token bucket: it holds up to [`burst`](RateLimitLayer::burst) tokens, a new one comes every so often,
//! and a call takes one. All clones of the service share the bucket, and so do all services a layer is put
//! around.
//!
//! | what happens | what becomes of it |
//! |---|---|
//! | there is a token | the service is ready |
//! | there is none | `poll_ready` is pending, until those who asked before were served and a token came |
//! | a service is ready and dropped without a call | its token goes back, to whoever is next |
//! | a call fails | its token is spent: what is limited is the attempts |
//! | the server is shut down meanwhile | nothing waits: whoever stands in line leaves it |
//!
//! So a server takes no message before there is a token for it, no lease runs while a message waits for
//! one, and other messages are not overtaken. That holds around what is served; around one handler, inside
//! of a router, the message has been taken and waits for its token with its lease renewed. What the server
//! fetches ahead waits in the same way: see `concurrency` and `prefetch` there.
//!
//! The bucket looks at the clock once for each message, which is most of what the layer costs. It wakes
//! nobody but the first in line, when the next token is due.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//!
//! use chappe_core::{BoxError, Message};
//! use chappe_middleware::rate_limit::RateLimitLayer;
//! use tokio::time::Instant;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! // Ten a second, and at most three at once.
//! let limit = RateLimitLayer::new(10, Duration::from_secs(1)).burst(3);
//! let receiver = ServiceBuilder::new().layer(limit).service(service_fn(async |_: Message| Ok::<_, BoxError>(())));
//!
//! let start = Instant::now();
//! for _ in 0..5 {
//!     receiver.clone().oneshot(Message::new("x")).await?;
//! }
//! assert_eq!(start.elapsed().as_millis(), 200); // three at once, two after 100 ms each
//! # Ok(()) }
//! ```

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use chappe_core::Message;
use tower_service::Service;

mod bucket;
mod layer;
mod turn;

pub use layer::RateLimitLayer;

use bucket::Bucket;
use turn::Turn;

/// Takes no more messages than so many in a time; see the [module](self).
///
/// Its future is that of the service inside: a limit has nothing to do once a message was taken.
#[derive(Debug)]
pub struct RateLimit<S> {
    inner: S,
    turn: Turn,
}

impl<S> RateLimit<S> {
    fn new(inner: S, bucket: Arc<Bucket>) -> Self {
        Self { inner, turn: Turn::new(bucket) }
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

impl<S: Service<Message>> Service<Message> for RateLimit<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    /// The service inside comes first: a token is not taken to wait with.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        ready!(self.inner.poll_ready(cx))?;
        self.turn.poll_token(cx).map(Ok)
    }

    fn call(&mut self, message: Message) -> S::Future {
        self.turn.spend();
        self.inner.call(message)
    }
}

/// A clone has no token, whatever its original has.
impl<S: Clone> Clone for RateLimit<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(self.turn.bucket()))
    }
}
