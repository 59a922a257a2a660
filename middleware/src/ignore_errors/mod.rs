//! Acknowledges messages whose errors are known and of no matter, on receivers.
//!
//! | the service answers | what becomes of it |
//! |---|---|
//! | an error the predicate is true of | acknowledged, counted, and logged at `warn` with the name of the layer |
//! | any other error | handed on |
//! | an outcome | handed on |
//!
//! This is the one layer that gives up a message without a trace at the broker, so there is no default: a
//! predicate says which errors, a name says why, and a [counter](Ignored) says how often. An error that
//! classifies itself, as a rejection does, is ignored all the same if the predicate is true of it.
//!
//! Put it outside of `retry`, or errors are ignored before they are
//! tried again. A topic cannot have it: nobody could make up the receipt.
//!
//! # Examples
//!
//! ```
//! use std::io;
//!
//! use chappe_core::{Message, Outcome};
//! use chappe_middleware::ignore_errors::IgnoreErrorsLayer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let gone = IgnoreErrorsLayer::new("file is gone", |error| {
//!     error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
//! });
//! let ignored = gone.ignored();
//! let receiver = ServiceBuilder::new()
//!     .layer(gone)
//!     .service(service_fn(async |_: Message| Err::<(), _>(io::Error::from(io::ErrorKind::NotFound))));
//!
//! assert_eq!(receiver.oneshot(Message::new("delete it")).await.unwrap(), Outcome::Ack);
//! assert_eq!(ignored.count(), 1);
//! # }
//! ```

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use chappe_core::{BoxError, IntoOutcome, Message, Outcome};
use tower_service::Service;

mod future;
mod layer;

pub use future::ResponseFuture;
pub use layer::IgnoreErrorsLayer;

/// Acknowledges messages whose errors are of no matter; see the [module](self).
#[derive(Clone, Debug)]
pub struct IgnoreErrors<S> {
    inner: S,
    rule: Arc<Rule>,
}

impl<S> IgnoreErrors<S> {
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

impl<S> Service<Message> for IgnoreErrors<S>
where
    S: Service<Message, Response: IntoOutcome, Error: Into<BoxError>>,
{
    type Response = Outcome;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    /// A service that fails to become ready has no message whose error could be ignored.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, message: Message) -> ResponseFuture<S::Future> {
        let id = message.id().cloned();
        ResponseFuture::new(self.inner.call(message), Arc::clone(&self.rule), id)
    }
}

/// Tells how many errors a layer has ignored. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ignored(Arc<Rule>);

impl Ignored {
    /// How many errors were ignored so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// The name of the layer.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name
    }
}

type Predicate = Box<dyn Fn(&(dyn StdError + 'static)) -> bool + Send + Sync>;

/// Which errors are ignored, why, and how often that was.
struct Rule {
    name: &'static str,
    predicate: Predicate,
    count: AtomicU64,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("name", &self.name).field("count", &self.count).finish_non_exhaustive()
    }
}
