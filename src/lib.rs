//! A message-server framework: what axum is to HTTP, chappe is to messages.
//!
//! Handlers are async functions whose arguments are [taken from the message](extract), a [`Router`] sends
//! each message to the right one, and the finished router is a [`Receiver`]: a plain `tower::Service`.
//!
//! ```
//! use chappe::extract::{Attempt, State};
//! use chappe::router::Attr;
//! use chappe::{Receiver, Router};
//!
//! #[derive(Clone)]
//! struct Db;
//!
//! async fn on_order(State(_db): State<Db>, Attempt(attempt): Attempt, order: String) {
//!     println!("attempt {attempt}: {order}");
//! }
//!
//! let app = Router::new().route(Attr("type").eq("order.created"), on_order).or_reject().with_state(Db);
//!
//! fn check<R: Receiver>(_: R) {}
//! check(app);
//! ```

pub mod connect;
#[cfg(feature = "event")]
pub mod event;
pub mod extract;
#[cfg(all(feature = "memory", feature = "json"))]
pub mod guide;
pub mod handler;
pub mod replay;
pub mod router;
pub mod server;
pub mod testing;

#[cfg(feature = "memory")]
pub use chappe_memory as memory;
#[cfg(feature = "postgres")]
pub use chappe_postgres as postgres;
#[cfg(feature = "pubsub")]
pub use chappe_pubsub as pubsub;
#[cfg(feature = "redis")]
pub use chappe_redis as redis;
#[cfg(feature = "sns")]
pub use chappe_sns as sns;
#[cfg(feature = "sqs")]
pub use chappe_sqs as sqs;

pub use chappe_core::{
    AttributeLimits, Attributes, Batched, BoxError, BoxTopic, Cancelled, DynBroadcast, DynPublisher, DynQueue,
    DynSubscription, Error, ErrorKind, IntoOutcome, IntoResult, Key, Lease, LeaseControl, Message, MessageId,
    MessageWriter, Outcome, OutcomeError, Published, Reason, Receiver, Str, Topic, Value,
};
pub use chappe_core::{attribute, backend, batch, erased};
pub use chappe_middleware as middleware;

#[cfg(feature = "json")]
pub use extract::Json;
#[cfg(feature = "msgpack")]
pub use extract::MessagePack;
#[cfg(feature = "protobuf")]
pub use extract::Protobuf;
pub use extract::{Extension, State};
pub use handler::{Handler, HandlerWithoutState};
pub use router::Router;
pub use server::Server;

/// The samples of the readme are compiled as they stand.
#[cfg(all(doctest, feature = "memory", feature = "json"))]
#[doc = include_str!("../README.md")]
mod readme {}
