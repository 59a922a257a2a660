//! Limits how long a message may take, by a fixed time, by a share of what is left of its lease, or both.
//!
//! | what happens | what becomes of it |
//! |---|---|
//! | the answer comes in time | it is handed on |
//! | it does not | the call is dropped, the error is [`Timeout`](chappe_core::ErrorKind::Timeout): retry |
//! | the limit is a share of the lease, and there is none, or none that ends | the fixed limit alone, if there is one |
//! | the lease has ended already | `Timeout`, as soon as the call has to wait |
//!
//! The time runs from when the call first has to wait, so one that ends at once costs no look at the clock.
//! The error is [ambiguous](chappe_core::Error::is_ambiguous): what was dropped may have got through. It
//! comes from a future that is dropped at an `.await`; work that blocks its thread cannot be timed out.
//!
//! The layer does not extend the lease, and what is left of it is looked at once. The server renews leases
//! by itself, so a share of it is not there to keep the lease: it bounds a message by what its *queue* says
//! a message may take, at whatever number somebody set there. A handler that needs longer calls
//! [`Lease::extend`](chappe_core::Lease::extend), and is given a fixed limit instead.
//!
//! The server has a `timeout` of its own for all messages. This layer is for one handler, for a topic, or for
//! when other layers are to see the error: put it inside of those.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//!
//! use chappe_core::{BoxError, Error, ErrorKind, Message};
//! use chappe_middleware::timeout::TimeoutLayer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! // Four fifths of what is left of the lease, and never more than a minute.
//! let receiver = ServiceBuilder::new()
//!     .layer(TimeoutLayer::from_lease(0.8).at_most(Duration::from_secs(60)))
//!     .service(service_fn(async |_: Message| std::future::pending::<Result<(), BoxError>>().await));
//!
//! let error = Error::from_boxed(receiver.oneshot(Message::new("slow")).await.unwrap_err());
//! assert_eq!(error.kind(), ErrorKind::Timeout);
//! # }
//! ```

use std::task::{Context, Poll};

use chappe_core::{BoxError, Message};
use tower_service::Service;

mod future;
mod layer;

pub use future::ResponseFuture;
pub use layer::TimeoutLayer;

use layer::Limit;

/// Drops a call that takes too long; see the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Timeout<S> {
    inner: S,
    limit: Limit,
}

impl<S> Timeout<S> {
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

impl<S> Service<Message> for Timeout<S>
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
        let lease = self.limit.lease_share.and_then(|_| message.lease().cloned());
        ResponseFuture::new(self.inner.call(message), self.limit, lease)
    }
}
