//! Twins of the backend contracts whose type does not tell which backend is behind them.
//!
//! Each is a struct that implements the very contract it erases, so whatever serves a queue serves a
//! [`DynQueue`] by the same code. A call costs one box, however many messages it is about.
//!
//! | erases | with |
//! |---|---|
//! | [`Queue`](crate::backend::Queue) and its receipts | [`DynQueue`] |
//! | [`Consumer`](crate::backend::Consumer) | [`DynConsumer`] |
//! | [`Publisher`](crate::backend::Publisher) | [`DynPublisher`] |
//! | [`Broadcast`](crate::backend::Broadcast) | [`DynBroadcast`] |
//! | [`Subscription`](crate::backend::Subscription) | [`DynSubscription`] |
//! | [`Topic`](crate::Topic) | [`BoxTopic`] |
//!
//! # Examples
//!
//! ```
//! use chappe_core::{BoxTopic, Error, Message, Published};
//! use tower::service_fn;
//!
//! let quiet = BoxTopic::new(service_fn(async |_: Message| Ok::<_, Error>(Published::default())));
//! let loud = BoxTopic::new(service_fn(async |message: Message| {
//!     println!("{} bytes", message.body().len());
//!     Ok::<_, Error>(Published::default())
//! }));
//! let topics: Vec<BoxTopic> = vec![quiet, loud];
//! ```

mod broadcast;
mod publisher;
mod queue;
mod receipt;
mod topic;

pub use broadcast::{DynBroadcast, DynSubscription};
pub use publisher::DynPublisher;
pub use queue::{DynConsumer, DynQueue};
pub use receipt::Slot;
pub use topic::{BoxTopic, ResponseFuture};
