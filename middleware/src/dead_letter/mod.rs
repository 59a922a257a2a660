//! Publishes messages that failed for good to a topic, with the reason, on receivers.
//!
//! | the service answers | what becomes of the message |
//! |---|---|
//! | `Reject`, or an error that carries it | published as a dead letter, then acknowledged |
//! | `Retry` or `RetryAfter`, or any other error, at the last of [`max_attempts`](DeadLetterLayer::max_attempts) | published as a dead letter, then acknowledged |
//! | the same, before that | handed on: tried again |
//! | `Ack`, `Throttle` | handed on |
//! | anything, once the lease is cancelled | handed on: somebody else may have the message |
//! | not asked, as attempts are over the limit already | published as a dead letter, then acknowledged |
//! | a panic, or it is dropped by a timeout | nothing: put those layers inside of this one |
//!
//! A dead letter that cannot be published is an error, and means retry whatever the topic says of it: the
//! message is lost at no time. It may be in the dead letters twice, when its acknowledgement gets lost.
//!
//! This is for queues without a dead letter of their own, and for dead letters that go to another broker.
//! Where the queue has one, the server puts messages there without any layer. Keep `max_attempts` below the
//! server's, or the server is faster.
//!
//! # What a dead letter looks like
//!
//! Body, key and attributes are those of the message. Its delay and its expiry are not: a dead letter is there
//! at once and stays. Added are:
//!
//! | attribute | says | when it is missing |
//! |---|---|---|
//! | [`dead-reason`](REASON) | why, at most 1 KiB of it | |
//! | [`dead-source`](SOURCE) | the queue it comes from | the backend did not say |
//! | [`dead-attempts`](ATTEMPTS) | how often it was tried | the broker does not count |
//! | [`dead-at`](AT) | when, in milliseconds since the Unix epoch | |
//! | [`dead-id`](ID) | the broker's id of the message there | the broker gave none |
//!
//! They are the names of [`reserved`](chappe_core::attribute::reserved) without their prefix, which nobody
//! but a backend may publish. [`read`] understands both.
//!
//! # Examples
//!
//! ```
//! use chappe::handler::HandlerWithoutState;
//! use chappe::memory::MemoryQueue;
//! use chappe::{BoxError, OutcomeError, Server, Topic};
//! use chappe_middleware::dead_letter::{self, DeadLetterLayer};
//! use tower::ServiceBuilder;
//!
//! async fn on_number(text: String) -> Result<(), BoxError> {
//!     text.parse::<u32>().map_err(OutcomeError::reject)?;
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let (numbers, dead) = (MemoryQueue::new("numbers"), MemoryQueue::new("dead"));
//! numbers.topic().publish("seven").await?;
//! numbers.shut();
//!
//! let receiver =
//!     ServiceBuilder::new().layer(DeadLetterLayer::new(dead.topic()).max_attempts(5)).service(on_number.into_service());
//! Server::new(numbers).serve(receiver).await?;
//!
//! let letter = &dead.messages()[0];
//! let why = dead_letter::read(letter).ok_or("not a dead letter")?;
//! assert_eq!((letter.body().as_ref(), &*why.source, why.attempts), (&b"seven"[..], "numbers", 1));
//! assert_eq!(&*why.reason, "invalid digit found in string");
//! # Ok(()) }
//! ```

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use chappe_core::{BoxError, IntoOutcome, Message, Outcome, Topic};
use tower_service::Service;

mod future;
mod layer;
mod letter;

pub use future::ResponseFuture;
pub use layer::DeadLetterLayer;
pub use letter::{AT, ATTEMPTS, ID, REASON, SOURCE, read};

/// Publishes messages that failed for good; see the [module](self).
#[derive(Clone, Debug)]
pub struct DeadLetter<S, T> {
    inner: S,
    grave: Arc<Grave<T>>,
}

/// Where dead letters go, and when. Behind a lock, since a topic need not be `Sync`; it is cloned for each
/// dead letter, and not for the many messages that become none.
#[derive(Debug)]
struct Grave<T> {
    topic: Mutex<T>,
    max_attempts: u32,
}

impl<S, T> DeadLetter<S, T> {
    /// The service inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to be changed.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes out the service inside.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, T> Service<Message> for DeadLetter<S, T>
where
    S: Service<Message, Response: IntoOutcome, Error: Into<BoxError>>,
    T: Topic,
{
    type Response = Outcome;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, T>;

    /// The topic need not be ready: hardly any message goes there. Its readiness is awaited in the call.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, message: Message) -> ResponseFuture<S::Future, T> {
        let max = self.grave.max_attempts;
        if message.attempt() > max {
            let reason = format!("attempt {} is over the limit of {max}", message.attempt());
            return ResponseFuture::bury(&self.grave, message, &reason);
        }
        let kept = message.clone();
        ResponseFuture::call(self.inner.call(message), Arc::clone(&self.grave), kept)
    }
}
