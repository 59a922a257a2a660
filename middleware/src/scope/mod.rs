//! Scope: one queue or subscription for several environments, regions or tenants.
//!
//! [`SetScopeLayer`] says in the attribute `scope` whom a message is for, [`FilterScopeLayer`] lets only
//! messages of its scopes through. What becomes of the others is yours to say, as an [`Unmatched`]:
//!
//! | decision | a message of another scope is | for |
//! |---|---|---|
//! | [`Ack`](Unmatched::Ack) | acknowledged, and so forgotten | subscriptions: the one it is for has a copy of its own |
//! | [`RetryAfter`](Unmatched::RetryAfter) | given back, for another consumer to fetch; an attempt is counted | a queue shared by consumers of several scopes |
//! | [`Reject`](Unmatched::Reject) | sent to the dead letter, with the reason | a queue in which there should be none |
//! | [`Pass`](Unmatched::Pass) | handled all the same | seeing what would be filtered |
//!
//! All of them are [counted](FilterScopeLayer::unmatched). A message without a scope is treated as one of
//! another scope, unless [said otherwise](FilterScopeLayer::unscoped). Scopes are compared byte for byte.
//!
//! Nothing is allocated, but for the reason of a rejection.
//!
//! # Examples
//!
//! ```
//! use chappe::testing::perform;
//! use chappe::{BoxError, Message};
//! use chappe_middleware::scope::{FilterScopeLayer, Unmatched};
//! use tower::{ServiceBuilder, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let staging = FilterScopeLayer::new("staging", Unmatched::Ack).unscoped(Unmatched::Reject);
//! let unmatched = staging.unmatched();
//! let receiver = ServiceBuilder::new().layer(staging).service(service_fn(async |order: Message| {
//!     assert_eq!(order.body(), "ours");
//!     Ok::<_, BoxError>(())
//! }));
//!
//! let scoped = |scope: &'static str, body: &'static str| {
//!     let mut message = Message::new(body);
//!     message.attributes_mut().insert("scope", scope);
//!     message
//! };
//! perform(receiver.clone(), scoped("staging", "ours")).await.assert_acked();
//! perform(receiver.clone(), scoped("production", "theirs")).await.assert_acked();
//! perform(receiver, "whose?").await.assert_rejected("no scope");
//! assert_eq!(unmatched.get(), 2);
//! # }
//! ```

mod filter;
mod future;
mod set;

pub use filter::{FilterScope, FilterScopeLayer, Unmatched};
pub use future::ResponseFuture;
pub use set::{SetScope, SetScopeLayer};

/// The attribute that says whom a message is for.
pub const SCOPE: &str = "scope";
