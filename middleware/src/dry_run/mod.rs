//! Dry runs: messages that are to be handled without lasting effects, as a rehearsal.
//!
//! A message whose attribute `dry-run` is `true` is one. Nothing in chappe acts on it by itself: handlers ask
//! [`DryRun`], and leave out what would last.
//!
//! | layer | around | what it does |
//! |---|---|---|
//! | [`AdoptDryRunLayer`] | a receiver | has [`DryRun::current`] tell, while a message is handled, whether it is a rehearsal |
//! | [`CarryDryRunLayer`] | a topic | marks what is published in a rehearsal as one itself |
//! | [`SuppressDryRunLayer`] | a topic | publishes nothing in a rehearsal, and answers as if it had |
//!
//! Without a layer around the topic, what a rehearsal publishes is real. A published message that has the
//! attribute itself keeps it. Where both stand, suppressing goes outside.
//!
//! An attribute that is neither `true` nor `false` is refused: the message is rejected rather than handled for
//! real. As with [correlation](crate::correlation), a spawned task and what is behind a `Buffer` are not part of
//! the handling unless taken along by [`DryRun::scope`].
//!
//! Nothing is allocated.
//!
//! # Examples
//!
//! ```
//! use chappe::testing::{Recorder, perform};
//! use chappe::{Message, Topic};
//! use chappe_middleware::dry_run::{AdoptDryRunLayer, DryRun, SuppressDryRunLayer};
//! use tower::{ServiceBuilder, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let (orders, sent) = (SuppressDryRunLayer::new(), Recorder::new());
//! let suppressed = orders.suppressed();
//! let topic = ServiceBuilder::new().layer(orders).service(sent.clone());
//!
//! let receiver = ServiceBuilder::new().layer(AdoptDryRunLayer::new()).service(service_fn(move |order: Message| {
//!     let topic = topic.clone();
//!     async move {
//!         if DryRun::current().is_real() {
//!             println!("the customer is charged");
//!         }
//!         topic.publish(order.into_body()).await
//!     }
//! }));
//!
//! let mut rehearsal = Message::new("three chairs");
//! rehearsal.attributes_mut().insert("dry-run", "true");
//! perform(receiver.clone(), rehearsal).await.assert_acked();
//! sent.assert_published(0);
//! assert_eq!(suppressed.get(), 1);
//!
//! perform(receiver, "three chairs").await.assert_acked();
//! sent.assert_published(1);
//! # }
//! ```

mod adopt;
mod carry;
mod flag;
mod future;
mod suppress;

pub use adopt::{AdoptDryRun, AdoptDryRunLayer};
pub use carry::{CarryDryRun, CarryDryRunLayer};
pub use flag::{DryRun, NotAFlag};
pub use future::{ResponseFuture, Scope, Suppression};
pub use suppress::{SuppressDryRun, SuppressDryRunLayer};

/// The attribute that says whether a message is a rehearsal: `true` or `false`.
pub const DRY_RUN: &str = "dry-run";
