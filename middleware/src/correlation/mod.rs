//! Correlation: which message led to which, over any number of hops.
//!
//! A message has two ids beside its own: the **correlation id** names the whole story, and is the same for
//! all that happens in it; the **causation id** names the message that was being handled when this one was
//! published. [`AdoptCorrelationLayer`] goes around a receiver and [`CarryCorrelationLayer`] around the topics
//! it publishes to; handlers need not know.
//!
//! | | |
//! |---|---|
//! | handled message with a `correlation-id` | it is that of everything published meanwhile |
//! | without one | the id of the message is, since the story begins with it |
//! | without an id either | nothing is carried |
//! | published message with a `correlation-id` of its own | it keeps it |
//! | the `causation-id` of a published message | is set to the id of the handled one, also over one it had |
//! | published outside of any handling | as it is |
//!
//! What is handled is found through the task: the ids are in place whenever the receiver's future is polled.
//! A task that a handler spawns is not part of that future, and takes them along only when told to, with
//! [`Correlation::scope`]; a topic behind a `Buffer` is called in a task as well, so the layer goes outside of
//! it. The ids are the same at every attempt.
//!
//! Adopting allocates nothing, unless a correlation id is longer than 24 bytes. Carrying makes the text of the
//! ids, and room for two more attributes.
//!
//! # Examples
//!
//! ```
//! use chappe::testing::{Recorder, perform};
//! use chappe::{Message, Topic};
//! use chappe_middleware::correlation::{AdoptCorrelationLayer, CarryCorrelationLayer, Correlation};
//! use tower::{ServiceBuilder, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let sent = Recorder::new();
//! let invoices = ServiceBuilder::new().layer(CarryCorrelationLayer::new()).service(sent.clone());
//!
//! let on_order = service_fn(move |order: Message| {
//!     let invoices = invoices.clone();
//!     async move {
//!         // A task of its own takes the ids along because it is told to.
//!         let publish = async move { invoices.publish(order.into_body()).await };
//!         match Correlation::current() {
//!             Some(correlation) => tokio::spawn(correlation.scope(publish)),
//!             None => tokio::spawn(publish),
//!         }
//!         .await
//!         .expect("publishing does not panic")
//!     }
//! });
//! let receiver = ServiceBuilder::new().layer(AdoptCorrelationLayer::new()).service(on_order);
//!
//! let mut order = Message::new("three chairs");
//! order.set_id("order-7");
//! order.attributes_mut().insert("correlation-id", "basket-1");
//! perform(receiver, order).await.assert_acked();
//!
//! let invoice = &sent.assert_published(1)[0];
//! assert_eq!(invoice.attributes().get_str("correlation-id"), Some("basket-1"));
//! assert_eq!(invoice.attributes().get_str("causation-id"), Some("order-7"));
//! # }
//! ```

mod adopt;
mod carry;
mod future;
mod ids;

pub use adopt::{AdoptCorrelation, AdoptCorrelationLayer};
pub use carry::{CarryCorrelation, CarryCorrelationLayer};
pub use future::{ResponseFuture, Scope};
pub use ids::Correlation;

/// The attribute that names the story a message belongs to.
pub const CORRELATION_ID: &str = "correlation-id";

/// The attribute that names the message that led to this one.
pub const CAUSATION_ID: &str = "causation-id";
