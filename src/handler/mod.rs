//! Handlers: async functions that receive messages.
//!
//! A handler takes up to twelve [extractors](crate::extract) and returns `()`, an
//! [`Outcome`](crate::Outcome), a receipt, or a `Result` of one of them:
//!
//! | it returns | the message is |
//! |---|---|
//! | `()`, `Ok(())`, a [`Published`](crate::Published) | acknowledged |
//! | an [`Outcome`](crate::Outcome) | treated accordingly |
//! | any `Err` | retried after the server's backoff, unless the error carries an [`OutcomeError`](crate::OutcomeError) |
//! | nothing, because it panicked, timed out or was cancelled | retried |
//!
//! ```
//! use chappe::extract::{Attempt, State};
//! use chappe::{BoxError, Outcome};
//!
//! # #[derive(Clone)] struct Db;
//! # impl Db { async fn insert(&self, _: String) -> std::io::Result<()> { Ok(()) } }
//! async fn on_note(State(db): State<Db>, Attempt(attempt): Attempt, note: String) -> Result<Outcome, BoxError> {
//!     if note.is_empty() {
//!         return Ok(Outcome::reject("a note says something"));
//!     }
//!     db.insert(note).await?;
//!     Ok(Outcome::Ack)
//! }
//! ```
//!
//! Handlers are usually given to a [`Router`](crate::Router). One alone becomes a receiver by
//! [`with_state`](Handler::with_state), or [`into_service`](HandlerWithoutState::into_service) where it takes
//! no state.
//!
//! # Cost
//!
//! Calling a handler allocates its future, and nothing else.
//!
//! # Why does my function not fit?
//!
//! When the compiler says that a function is not a handler, one of these is missing:
//!
//! - it is an `async fn`, or a closure that returns a future;
//! - it has at most twelve arguments, each an extractor;
//! - at most one of them consumes the message, and it stands last;
//! - its return value is listed above;
//! - its future is `Send`: nothing like an `Rc` or a `MutexGuard` is held across an `.await`;
//! - the router's state is what its `State` arguments ask for.

mod function;
mod layered;
mod route;

pub use layered::Layered;
pub use route::{ResponseFuture, Route};

use tower_layer::Layer;

use crate::Receiver;

/// An async function that can receive messages, given a state `S`.
///
/// Not to be implemented: every function that fits is one, `T` being its arguments; see the
/// [module](self).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "does not fit as a handler of messages with state `{S}`",
    note = "a handler is an `async fn` of at most 12 extractors, of which only the last may consume the message, as `Json`, `Bytes`, `String` and `Message` do",
    note = "it returns `()`, `Outcome`, `Published`, or a `Result` of one of them whose error converts into `BoxError`",
    note = "its future is `Send`, and `State` arguments ask for the router's state or a piece of it: see `chappe::handler` for the whole list",
    note = "a `tower::Service` is routed to with `route_service`"
)]
pub trait Handler<T, S>: Clone + Send + Sync + Sized + 'static {
    /// Lends the handler its state, which makes it a receiver.
    ///
    /// # Examples
    ///
    /// ```
    /// use chappe::extract::State;
    /// use chappe::{Handler, Message, Outcome};
    /// use tower::ServiceExt;
    ///
    /// async fn on_message(State(limit): State<usize>, body: bytes::Bytes) -> Outcome {
    ///     if body.len() > limit { Outcome::reject("too long") } else { Outcome::Ack }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let receiver = on_message.with_state(3);
    /// assert!(matches!(receiver.oneshot(Message::new("four")).await, Ok(Outcome::Reject(_))));
    /// # }
    /// ```
    fn with_state(self, state: S) -> Route;

    /// Wraps this handler alone in a tower layer.
    ///
    /// The layer is applied once, not per message, so what it counts or limits it does for all messages of
    /// the handler. The service it makes must be `Clone + Send + Sync`.
    ///
    /// # Examples
    ///
    /// ```
    /// use chappe::{Handler, Router};
    /// use tower::limit::ConcurrencyLimitLayer;
    ///
    /// async fn on_message(body: bytes::Bytes) {
    ///     # let _ = body;
    /// }
    ///
    /// let app = Router::<()>::new().fallback(on_message.layer(ConcurrencyLimitLayer::new(2)));
    /// ```
    fn layer<L>(self, layer: L) -> Layered<L, Self, T, S>
    where
        L: Layer<Route, Service: Receiver + Sync> + Clone + Send + Sync + 'static,
    {
        Layered::new(layer, self)
    }
}

/// Makes a handler that takes no state a receiver.
pub trait HandlerWithoutState<T>: Handler<T, ()> {
    /// Makes the handler a receiver.
    ///
    /// # Examples
    ///
    /// ```
    /// use chappe::handler::HandlerWithoutState;
    /// use chappe::{Message, Outcome};
    /// use tower::ServiceExt;
    ///
    /// async fn on_message(body: String) {
    ///     println!("{body}");
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let outcome = on_message.into_service().oneshot(Message::new("hello")).await;
    /// assert_eq!(outcome.unwrap(), Outcome::Ack);
    /// # }
    /// ```
    fn into_service(self) -> Route {
        self.with_state(())
    }
}

impl<H: Handler<T, ()>, T> HandlerWithoutState<T> for H {}
