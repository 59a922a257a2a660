//! Claim check: a body that is too large for the broker waits in an object store, and the message carries a
//! ticket for it.
//!
//! [`StoreBodyLayer`] puts bodies over a limit into the store, [`FetchBodyLayer`] fetches them before the
//! receiver is called. Both share a [`ClaimStore`], which is any [`ObjectStore`] and a prefix of its own:
//! the clouds' stores are features of the crate `object_store`.
//!
//! | message | [`StoreBodyLayer`] | [`FetchBodyLayer`] |
//! |---|---|---|
//! | the body is [small enough](StoreBodyLayer::max_bytes) | passed on untouched | as any other |
//! | the body is larger | stored; the message is published with an empty body and a ticket | |
//! | it has a ticket already | passed on untouched | the body is fetched, the ticket is gone |
//! | the store fails | not published: [`Unavailable`](chappe_core::ErrorKind::Unavailable) | retried |
//! | publishing fails | the body stays in the store until it is [swept](ClaimStore::sweep) | |
//! | the body is not in the store | | retried, and from the [given attempt](FetchBodyLayer::missing_attempts) on rejected |
//! | it has another size, or is over [the limit](FetchBodyLayer::max_bytes), or the ticket is damaged | | rejected |
//! | not marked | | passed on untouched |
//!
//! The ticket is the attribute [`TICKET`], and [`Content-Encoding`](crate::codec::CONTENT_ENCODING) is marked
//! with `claim`. Other attributes, the key and the delay are as they were.
//!
//! # Left-overs
//!
//! A body is left over once all receivers have acknowledged its message, or when publishing it failed. There
//! are two ways to be rid of them, and they go together:
//!
//! - [`FetchBodyLayer::delete_acknowledged`] deletes a body when its message was acknowledged. Only for
//!   messages with a single receiver.
//! - [`ClaimStore::sweep`] deletes what is older than an age. The age must be beyond the time for which any
//!   queue keeps messages, dead letters included. A lifecycle rule of the bucket does the same.
//!
//! # Examples
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use chappe_core::{BoxError, Message, Topic};
//! use chappe_memory::MemoryQueue;
//! use chappe_middleware::claim::{ClaimStore, FetchBodyLayer, StoreBodyLayer};
//! use object_store::memory::InMemory;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let store = ClaimStore::new(Arc::new(InMemory::new()), "scans")?;
//! let queue = MemoryQueue::new("scans");
//! let topic = StoreBodyLayer::new(store.clone()).max_bytes(1000).layer(queue.topic());
//! topic.publish("x".repeat(50_000)).await?;
//!
//! let stored = queue.messages().remove(0);
//! assert!(stored.body().is_empty());
//!
//! let receiver = service_fn(async |message: Message| {
//!     assert_eq!(message.body().len(), 50_000);
//!     Ok::<_, BoxError>(())
//! });
//! FetchBodyLayer::new(store.clone()).layer(receiver).oneshot(stored).await?;
//!
//! let month = Duration::from_secs(30 * 24 * 60 * 60);
//! assert_eq!(store.sweep(month).await?, 0);
//! # Ok(()) }
//! ```
//!
//! [`ObjectStore`]: object_store::ObjectStore

mod fetch;
mod future;
mod put;
mod store;
mod ticket;

pub use fetch::{DEFAULT_MISSING_ATTEMPTS, FetchBody, FetchBodyLayer};
pub use future::ResponseFuture;
pub use put::{DEFAULT_MAX_BYTES, StoreBody, StoreBodyLayer};
pub use store::ClaimStore;
pub use ticket::TICKET;

use crate::codec::Pair;

/// Both layers with the same store, with default options.
pub fn pair(store: ClaimStore) -> Pair<StoreBodyLayer, FetchBodyLayer> {
    Pair::new(StoreBodyLayer::new(store.clone()), FetchBodyLayer::new(store))
}
