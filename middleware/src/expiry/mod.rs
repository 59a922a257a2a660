//! Expiry: messages with a best-before date.
//!
//! [`SetExpiryLayer`] sets [`expires`](chappe_core::Message::expires) on what is published, which every backend
//! carries. Neither brokers nor the server act on it; [`ExpireLayer`] around a receiver does:
//!
//! | a message that has expired is | by |
//! |---|---|
//! | acknowledged, and so forgotten | default |
//! | rejected to the dead letter of its queue, with the reason | [`or_reject`](ExpireLayer::or_reject) |
//! | published to a topic, with the attribute `expired-at`, and then acknowledged; retried if that fails | [`or_publish`](ExpireLayer::or_publish) |
//!
//! All of them are [counted](ExpireLayer::expired), once an attempt. A message is looked at when it is about to
//! be handled, at every attempt; one that expires while it is being handled is none the worse for it. The clocks
//! of publisher and consumer are compared, so what they differ by should be little beside the time to live.
//!
//! A publisher that sets no date can be helped out on the receiving side: [`max_age`](ExpireLayer::max_age)
//! counts from when the broker accepted the message, where it tells.
//!
//! Nothing is allocated while a message is good.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//!
//! use chappe::testing::{Recorder, perform};
//! use chappe::{BoxError, Message, Topic};
//! use chappe_middleware::expiry::{ExpireLayer, SetExpiryLayer};
//! use tower::{ServiceBuilder, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let sent = Recorder::new();
//! let minute = SetExpiryLayer::after(Duration::from_secs(60));
//! let prices = ServiceBuilder::new().layer(minute).service(sent.clone());
//! prices.publish("42.1").await?;
//!
//! let expire = ExpireLayer::new();
//! let expired = expire.expired();
//! let receiver = ServiceBuilder::new().layer(expire).service(service_fn(async |_: Message| Ok::<_, BoxError>(())));
//!
//! let mut price = sent.assert_published(1).remove(0);
//! perform(receiver.clone(), price.clone()).await.assert_acked();
//! assert_eq!(expired.get(), 0);
//!
//! price.set_expires(std::time::SystemTime::now() - Duration::from_secs(1));
//! perform(receiver, price).await.assert_acked();
//! assert_eq!(expired.get(), 1);
//! # Ok(()) }
//! ```

mod expire;
mod future;
mod set;

pub use expire::{Expire, ExpireLayer};
pub use future::ResponseFuture;
pub use set::{SetExpiry, SetExpiryLayer};

/// The attribute a message that expired is published with: when it did, in milliseconds since the Unix epoch.
pub const EXPIRED_AT: &str = "expired-at";
