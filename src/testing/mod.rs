//! How to test a service: one message at a time, what it publishes, and whole pipelines.
//!
//! | to test | use |
//! |---|---|
//! | what a handler, router or stack makes of one message | [`perform`] |
//! | what is published | [`Recorder`] |
//! | that every message comes to a good end, consequences included | [`Session`] |
//!
//! Everything here waits for events rather than polls, and works where time is paused
//! (`#[tokio::test(start_paused = true)]`), so that backoffs and delays cost a test nothing. Waiting in vain
//! ends the test after ten seconds, or a day of paused time, and says what was there. Unlike anywhere else
//! in chappe, bodies are shown.
//!
//! # One message
//!
//! [`perform`] treats a receiver as a server would and tells the outcome:
//!
//! ```
//! use chappe::testing::perform;
//! use chappe::{BoxError, Message, Outcome};
//! use tower::service_fn;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let receiver = service_fn(|message: Message| async move {
//!     if message.body().is_empty() {
//!         return Ok(Outcome::reject("order is empty"));
//!     }
//!     if message.attempt() < 3 { Err::<_, BoxError>("out of stock".into()) } else { Ok(Outcome::Ack) }
//! });
//!
//! perform(receiver.clone(), "").await.assert_rejected("empty");
//! perform(receiver.clone(), "one").attempt(1).await.assert_retried().assert_error("out of stock");
//! perform(receiver, "one").attempt(3).await.assert_acked();
//! # }
//! ```
//!
//! # What is published
//!
//! A [`Recorder`] is a topic, to be handed to what publishes:
//!
//! ```
//! use chappe::testing::{Recorder, perform};
//! use chappe::{ErrorKind, Message, Topic};
//! use tower::service_fn;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let invoices = Recorder::new();
//! let topic = invoices.clone();
//! let receiver = service_fn(move |order: Message| {
//!     let topic = topic.clone();
//!     async move { topic.publish(order).await }
//! });
//!
//! perform(receiver.clone(), "one").await.assert_acked();
//! assert_eq!(invoices.assert_published(1)[0].body(), "one");
//!
//! invoices.fail_next(1, ErrorKind::Unavailable);
//! perform(receiver, "two").await.assert_retried();
//! # }
//! ```
//!
//! # Whole pipelines
//!
//! A [`Session`] follows messages through real queues, topics and [servers](crate::Server) until nothing is
//! left of them. Serve its tracked queues, publish through its tracked topics, and wait:
//!
#![cfg_attr(feature = "memory", doc = "```")]
#![cfg_attr(not(feature = "memory"), doc = "```ignore")]
//! use chappe::testing::Session;
//! use chappe::{BoxError, Message, Server, Topic};
//! use tower::service_fn;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let session = Session::new();
//! let (orders, invoices) = (session.queue("orders"), session.queue("invoices"));
//!
//! let topic = invoices.topic();
//! let on_order = service_fn(move |order: Message| {
//!     let topic = topic.clone();
//!     async move {
//!         if order.attempt() == 1 { Err("out of stock".into()) } else { topic.publish(order).await.map_err(BoxError::from) }
//!     }
//! });
//! let on_invoice = service_fn(async |_: Message| Ok::<_, BoxError>(()));
//! session.spawn(Server::new(orders.clone()).serve(on_order));
//! session.spawn(Server::new(invoices).serve(on_invoice));
//!
//! orders.topic().publish("one").await?;
//! let summary = session.settled().await;
//!
//! summary.assert_retried("orders", 1).assert_acked("orders", 1);
//! summary.assert_published("invoices", 1).assert_acked("invoices", 1);
//! session.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Session::track`] follows a queue of any backend, and [`Session::topic`] any topic, which
//! [leads to](TrackedTopic::leads_to) as many of them as you say. Faults of the memory backend are reached
//! through [`Tracked::get_ref`].

mod limit;
mod perform;
mod performed;
mod recorder;
mod session;
mod show;

pub use perform::{Perform, PerformFuture, perform};
pub use performed::Performed;
pub use recorder::{Accept, Recorder, Recording};
pub use session::{
    Fate, Session, Summary, Trace, Tracked, TrackedConsumer, TrackedPublish, TrackedReceipt, TrackedTopic, Unsettled,
};
