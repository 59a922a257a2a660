//! Makes calls fail and wait at random, by a seed, for tests, on receivers and on topics.
//!
//! | fault | what it is like |
//! |---|---|
//! | [`fail_before`](ChaosLayer::fail_before) | the service is not called; the error is [`Unavailable`](chappe_core::ErrorKind::Unavailable) |
//! | [`fail_after`](ChaosLayer::fail_after) | the service is called, and its answer is lost; the error is [ambiguous](chappe_core::Error::is_ambiguous) |
//! | [`panic`](ChaosLayer::panic) | a panic in place of the call |
//! | [`delay`](ChaosLayer::delay) | the call begins later, by a time drawn evenly up to the longest |
//!
//! Without any of them the layer does nothing. What happens to the first call, the second, and so on is
//! drawn from the seed, whichever clone is called: one thread and paused time repeat a whole run. On
//! several threads the numbers of calls that fail repeat, but not which messages they fall on.
//!
//! The faults of a broker, such as lost acknowledgements, are the memory backend's.
//!
//! # Examples
//!
//! ```
//! use chappe_core::{BoxError, Message};
//! use chappe_middleware::chaos::ChaosLayer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let receiver = ServiceBuilder::new()
//!     .layer(ChaosLayer::seeded(7).fail_before(0.5))
//!     .service(service_fn(async |_: Message| Ok::<_, BoxError>(())));
//!
//! let mut failed = 0;
//! for _ in 0..100 {
//!     failed += usize::from(receiver.clone().oneshot(Message::new("x")).await.is_err());
//! }
//! assert!((30..70).contains(&failed), "{failed}");
//! # }
//! ```

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use chappe_core::{BoxError, Error, ErrorKind, Message};
use tokio::time::sleep;
use tower_service::Service;

mod fate;
mod future;
mod layer;

pub use future::ResponseFuture;
pub use layer::ChaosLayer;

use fate::{Fate, Fates, Fault};

/// Makes calls fail and wait at random; see the [module](self).
#[derive(Clone, Debug)]
pub struct Chaos<S> {
    inner: S,
    fates: Arc<Fates>,
}

impl<S> Chaos<S> {
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

impl<S> Service<Message> for Chaos<S>
where
    S: Service<Message, Response: Send, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Response, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, message: Message) -> ResponseFuture<S::Response, S::Future> {
        let fate = self.fates.next();
        if fate == Fate::NONE {
            return ResponseFuture::spared(self.inner.call(message));
        }
        // The one that is ready is called, if late; the clone has to become ready by itself.
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        ResponseFuture::doomed(suffer(fate, ready, message))
    }
}

async fn suffer<S>(Fate { delay, fault }: Fate, mut ready: S, message: Message) -> Result<S::Response, BoxError>
where
    S: Service<Message, Error: Into<BoxError>>,
{
    if delay > Duration::ZERO {
        sleep(delay).await;
    }
    match fault {
        None => ready.call(message).await.map_err(Into::into),
        Some(Fault::Before) => Err(Error::new(ErrorKind::Unavailable, "chaos: failed before the call").into()),
        Some(Fault::After) => {
            ready.call(message).await.map_err(Into::into)?;
            Err(Error::new(ErrorKind::Unavailable, "chaos: the answer was lost").ambiguous().into())
        }
        Some(Fault::Panic) => panic!("chaos: panicked in place of the call"),
    }
}
