//! Tries again within the process, as a policy of tower's retry, on receivers and on topics.
//!
//! | the service answers | it is tried again |
//! |---|---|
//! | an error, or [`Outcome::Retry`](chappe_core::Outcome::Retry) | after the backoff: exponential, with full jitter |
//! | `RetryAfter`, or an error with such a pause | after that pause, if it is within the longest backoff |
//! | `Reject`, `Throttle`, `Ack`, or an error that carries one | no |
//! | an error of ours that no repetition can mend, by [`is_retryable`](chappe_core::Error::is_retryable) | no |
//! | an error that is [ambiguous](chappe_core::Error::is_ambiguous): a topic may have sent the message | no, unless [`repeat_ambiguous`](RetryPolicy::repeat_ambiguous) |
//! | an error the [predicate](RetryPolicy::when) is false of | no |
//! | anything, and the attempts or the [budget](RetryPolicy::budget) are used up | no |
//! | anything, and the lease or the message would be over by then | no |
//!
//! What is not tried again is handed on as it is, and a server then tries it again in its own way: this
//! layer is for what is over in a moment, and saves a trip to the broker. While it waits, the message keeps
//! its place among those that are handled, so keep the backoff short. The attempt the broker counts does
//! not change.
//!
//! A wait ends when the lease is [lost](chappe_core::Cancelled::LeaseLost), and the service is not called
//! again: the error is then [`LeaseLost`](chappe_core::ErrorKind::LeaseLost). During a shutdown it goes on as
//! long as the grace does; what still waits then goes back without blame. Answers of types other than
//! `Outcome` count as success.
//!
//! Every attempt is given the same message, and all but the first a [`Repeated`] in its extensions. A retry waits for the service to become ready, on a clone that
//! is polled for it.
//!
//! # Examples
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use std::time::Duration;
//!
//! use chappe_core::{BoxError, Message};
//! use chappe_middleware::retry::{RetryLayer, RetryPolicy};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! static CALLS: AtomicU32 = AtomicU32::new(0);
//!
//! let policy = RetryPolicy::exponential(Duration::from_millis(10), Duration::from_millis(200)).max_attempts(3);
//! let receiver = ServiceBuilder::new().layer(RetryLayer::new(policy)).service(service_fn(async |_: Message| {
//!     if CALLS.fetch_add(1, Ordering::Relaxed) < 2 { Err("connection reset") } else { Ok(()) }
//! }));
//!
//! receiver.oneshot(Message::new("x")).await?;
//! assert_eq!(CALLS.load(Ordering::Relaxed), 3);
//! # Ok(()) }
//! ```
//!
//! With a [budget](tower::retry::budget), so that a broken dependency is not given twice the load:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use chappe_middleware::retry::RetryPolicy;
//! use tower::retry::budget::TpsBudget;
//!
//! // One retry for ten successes of the last ten seconds, and one a second in any case.
//! let budget = Arc::new(TpsBudget::new(Duration::from_secs(10), 1, 0.1));
//! let policy = RetryPolicy::exponential(Duration::from_millis(10), Duration::from_secs(1)).budget(budget);
//! ```

mod layer;
mod leased;
mod policy;
mod wait;

pub use layer::RetryLayer;
pub use leased::{Leased, Repeated, ResponseFuture};
pub use policy::RetryPolicy;
pub use wait::Wait;
