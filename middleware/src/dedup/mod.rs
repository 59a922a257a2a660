//! Deduplication: a message that comes twice is handled once.
//!
//! Brokers deliver at least once, and publishers repeat what they were not sure of. [`DedupLayer`] around a
//! receiver remembers what was handled: it **reserves** the key of a message, has it handled, and **confirms**
//! the key only when it was acknowledged. A key that is stored before the work is done would have a failed
//! message taken for a duplicate of itself, and lost.
//!
//! | | |
//! |---|---|
//! | the receiver acknowledges | the key is confirmed |
//! | it fails, asks for a retry, rejects, throttles | the reservation is released; the message is tried as if new |
//! | it panics, is cancelled or dropped | released as well |
//! | the process dies | the reservation ends with the message's lease, so that the redelivery is handled |
//! | a duplicate of a confirmed key | acknowledged and [counted](DedupLayer::duplicates) |
//! | a duplicate while the first is being handled | tried again when the reservation ends, for the first may yet fail; it counts as an attempt of the duplicate |
//! | a message without a key | handled |
//! | the store fails to reserve | the message is retried, or with [`fail_open`](DedupLayer::fail_open) handled |
//! | it fails to confirm | tried three times, then acknowledged all the same: a later duplicate is handled |
//!
//! A reservation is renewed for as long as the message is being handled. What this cannot do is make the effect
//! and the confirmation one: a process that dies between the two repeats the effect. Where that must not be,
//! write the key with the effect, in one transaction of your database.
//!
//! # Keys
//!
//! By default the key is the attribute `idempotency-key`, else the [id](chappe_core::Message::id) the broker
//! gave the message, together with the [source](chappe_core::Message::source) since ids are the broker's. The id
//! tells redeliveries; only a key of the publisher tells what was published twice. [`AssignKeyLayer`] around a
//! topic gives each message one, and goes outside of what repeats, such as `Retry`.
//! [`key_attribute`](DedupLayer::key_attribute) and [`key_fn`](DedupLayer::key_fn) take the key from elsewhere.
//!
//! # Stores
//!
//! [`MemoryStore`] remembers within this process, up to a number of keys and an age. What several processes
//! share implements [`DedupStore`]. Receivers that share a store and not their work need a
//! [namespace](DedupLayer::namespace) each.
//!
//! # Cost
//!
//! An allocation for the future, and what the store needs for the key.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//!
//! use chappe::testing::perform;
//! use chappe::{BoxError, Message};
//! use chappe_middleware::dedup::{DedupLayer, MemoryStore};
//! use tower::{ServiceBuilder, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let dedup = DedupLayer::new(MemoryStore::new(100_000, Duration::from_secs(3600)));
//! let duplicates = dedup.duplicates();
//! let receiver = ServiceBuilder::new().layer(dedup).service(service_fn(|payment: Message| async move {
//!     if payment.attempt() == 1 { Err::<(), BoxError>("the bank is closed".into()) } else { Ok(()) }
//! }));
//!
//! let mut payment = Message::new("42 EUR");
//! payment.attributes_mut().insert("idempotency-key", "payment-7");
//!
//! perform(receiver.clone(), payment.clone()).attempt(1).await.assert_retried(); // released
//! perform(receiver.clone(), payment.clone()).attempt(2).await.assert_acked(); // confirmed
//! perform(receiver, payment).attempt(1).await.assert_acked(); // not handled
//! assert_eq!(duplicates.get(), 1);
//! # }
//! ```

mod assign;
mod future;
mod key;
mod layer;
mod memory;
mod reservation;
mod store;

pub use assign::{AssignKey, AssignKeyLayer};
pub use future::ResponseFuture;
pub use layer::{Dedup, DedupLayer};
pub use memory::MemoryStore;
pub use store::{DedupStore, Reserve, Token};

/// The attribute a publisher names a message by, the same for every copy of it.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
