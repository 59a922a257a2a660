//! Events: what happened, under a name, with a payload of a type.
//!
//! An [`Event`] is a [message](crate::Message) with a meaning agreed upon: it has an id, a name, a payload, and
//! in its [`Meta`] when it was created, which story it belongs to, which attempt this is, and whether it is only
//! a rehearsal. [`emit`] publishes events, [`ConsumeLayer`] reads them around a receiver, and [`Event`] is an
//! argument of handlers.
//!
#![cfg_attr(feature = "memory", doc = "```")]
#![cfg_attr(not(feature = "memory"), doc = "```ignore")]
//! use chappe::event::{ConsumeLayer, Event, Failure, emit};
//! use chappe::extract::{State, Type};
//! use chappe::memory::{MemoryQueue, MemoryTopic};
//! use chappe::{BoxError, Router, Server};
//! use serde::{Deserialize, Serialize};
//! use tower::ServiceBuilder;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Order {
//!     chairs: u32,
//! }
//!
//! async fn on_order(State(invoices): State<MemoryTopic>, event: Event<Order>) -> Result<(), BoxError> {
//!     let amount = event.payload.chairs * 42;
//!     for result in emit(&invoices, [Event::new("invoice.printed", amount)]).await {
//!         result?; // the order is tried again
//!     }
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let (orders, invoices) = (MemoryQueue::new("orders"), MemoryQueue::new("invoices"));
//! let placed = Event::new("order.placed", Order { chairs: 3 });
//! for result in emit(&orders.topic(), [placed]).await {
//!     result?;
//! }
//!
//! let router = Router::new().route(Type("order.placed"), on_order).or_reject().with_state(invoices.topic());
//! let consume = ConsumeLayer::new().on_error(async |failure: Failure| {
//!     eprintln!("{failure}");
//!     failure.outcome // or another
//! });
//! orders.shut(); // so that serving ends
//! Server::new(orders).serve(ServiceBuilder::new().layer(consume).service(router)).await?;
//!
//! let invoice = Event::from_message(&invoices.messages()[0])?;
//! assert_eq!((invoice.name.as_str(), invoice.payload.parse::<u32>()?), ("invoice.printed", 126));
//! # Ok(()) }
//! ```
//!
//! # On the wire
//!
//! Events are CloudEvents 1.0, in the binary or the structured mode and under the names of any
//! [`Binding`](crate::middleware::cloudevents::Binding), or the JSON [`Envelope`](Wire::Envelope) of the Go
//! library `thisiserico/golib`. Which of them to write is an [`Emitter`]'s to say; reading tells by itself.
//!
//! | | CloudEvents | envelope |
//! |---|---|---|
//! | [`id`](Event::id) | `id`, and the id of the message | `id`, and the id of the message |
//! | [`name`](Event::name) | `type` | `name` |
//! | [`created_at_utc`](Meta::created_at_utc) | `time` | `meta.created_at_utc` |
//! | [`correlation_id`](Meta::correlation_id) | extension `correlationid` | `meta.correlation_id` |
//! | [`is_dry_run`](Meta::is_dry_run) | extension `dryrun` | `meta.is_dry_run` |
//! | [`attempts`](Meta::attempts) | not written | `meta.attempts`, written as 0 |
//! | [`payload`](Event::payload) | data | `payload`, in base64 |
//!
//! Attempts are those the broker counted, where it counts. The Go library acknowledges an event unhandled that
//! says it has had its attempts, so one that is sent on always says 0.
//!
//! # What becomes of an event
//!
//! | | |
//! |---|---|
//! | the handler answers | the message is settled by what it says |
//! | it fails, asks for a retry or rejects | the error handler is called, and has the last word |
//! | it panics | the error handler is called, and the message is retried |
//! | it is dropped, by a timeout, a shutdown or a lost lease | the error handler is not called; the message is retried |
//! | the message is not an event, or not a valid one | rejected, and the error handler is called without an event |
//! | the error handler panics | the message is retried |
//!
//! While an event is handled its story and whether it is a rehearsal are
//! [current](crate::middleware::correlation::Correlation::current): events created meanwhile have both.

mod consume;
mod emit;
mod envelope;
mod error;
mod failure;
mod future;
mod payload;
mod types;
mod wire;

pub use consume::{Consume, ConsumeLayer};
pub use emit::{Emitter, emit};
pub use error::EventError;
pub use failure::Failure;
pub use future::ResponseFuture;
pub use payload::{FromPayload, IntoPayload, Payload};
pub use types::{Event, Meta};
pub use wire::Wire;
