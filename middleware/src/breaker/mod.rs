//! Takes no messages while too many of them fail, and tries with a single one, on receivers and on topics.
//!
//! | state | what happens | how it ends |
//! |---|---|---|
//! | [`Closed`](BreakerState::Closed) | messages go through and failures are counted | enough failures: open |
//! | [`Open`](BreakerState::Open) | `poll_ready` is pending | after [`open_for`](BreakerLayer::open_for): half-open |
//! | [`HalfOpen`](BreakerState::HalfOpen) | one message goes through, whichever clone takes it; `poll_ready` of all others is pending | it succeeds: closed; it fails: open again |
//! | [`Tripped`](BreakerState::Tripped) | `poll_ready` is pending: the kill switch was [pulled](BreakerHandle::trip) | [`reset`](BreakerHandle::reset) |
//!
//! All clones share the state, and so do all services a layer is put around. Nothing polls: those who wait
//! are woken when the state changes, or when it is time for the probe.
//!
//! A failure is an answer that means `Retry` or `RetryAfter`. A rejection is not: it says that the message
//! is bad, and tells nothing of what its handler depends on. [`count_if`](BreakerLayer::count_if) decides
//! otherwise. Answers of types other than `Outcome`, such as receipts and `()`, are successes.
//!
//! | what happens | how it counts |
//! |---|---|
//! | a call panics | as a failure |
//! | a call is dropped before it ends, by a timeout outside of this layer | not at all; a probe is taken by the next message |
//! | a call ends that began before the state changed | not at all |
//! | the service inside fails to become ready | not at all: there is no message yet |
//! | a service is ready, as the probe, and dropped without a call | not at all; the next takes the probe |
//!
//! So put a timeout inside of this layer, or what hangs is not seen to
//! fail.
//!
//! # Where to put it
//!
//! Around all that is served, or around a topic: a server whose receiver is not ready takes no message, and
//! fetches no more once it has as many as its `concurrency` and `prefetch` allow. Those wait with their
//! leases renewed, count no attempt, and go back without blame at a shutdown, which does not wait for the
//! breaker. Inside of a router the message has been taken, and waits in the same way.
//!
//! To have a topic fail at once while it is open, put tower's `LoadShed` around it.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//!
//! use chappe_core::{BoxError, Message};
//! use chappe_middleware::breaker::{BreakerLayer, BreakerState};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let breaker = BreakerLayer::consecutive(2).open_for(Duration::from_secs(30));
//! let handle = breaker.handle();
//! let receiver = ServiceBuilder::new().layer(breaker).service(service_fn(async |message: Message| {
//!     if message.body() == "bad" { Err::<(), BoxError>("database is gone".into()) } else { Ok(()) }
//! }));
//!
//! for _ in 0..2 {
//!     receiver.clone().oneshot(Message::new("bad")).await.unwrap_err();
//! }
//! assert_eq!(handle.state(), BreakerState::Open);
//!
//! receiver.oneshot(Message::new("good")).await.unwrap(); // half a minute later
//! assert_eq!(handle.state(), BreakerState::Closed);
//! # }
//! ```

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use chappe_core::{BoxError, Message};
use tower_service::Service;

mod circuit;
mod future;
mod gate;
mod handle;
mod layer;
mod rule;

pub use future::ResponseFuture;
pub use handle::{BreakerHandle, BreakerState};
pub use layer::BreakerLayer;

use circuit::Circuit;
use gate::Gate;

/// Takes no messages while too many of them fail; see the [module](self).
#[derive(Debug)]
pub struct Breaker<S> {
    inner: S,
    gate: Gate,
}

impl<S> Breaker<S> {
    fn new(inner: S, circuit: Arc<Circuit>) -> Self {
        Self { inner, gate: Gate::new(circuit) }
    }

    /// Looks at the breaker and switches it.
    #[must_use]
    pub fn handle(&self) -> BreakerHandle {
        BreakerHandle::new(Arc::clone(self.gate.circuit().switch()))
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

impl<S> Service<Message> for Breaker<S>
where
    S: Service<Message, Response: 'static, Error: Into<BoxError>>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        ready!(self.gate.poll_pass(cx));
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, message: Message) -> ResponseFuture<S::Future> {
        let trial = self.gate.pass();
        ResponseFuture::new(self.inner.call(message), trial)
    }
}

/// A clone is not ready, and never the probe its original may be.
impl<S: Clone> Clone for Breaker<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(self.gate.circuit()))
    }
}
