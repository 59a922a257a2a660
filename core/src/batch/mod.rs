//! [`Batched`], which turns a publisher into a topic.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::PollSemaphore;
use tower_service::Service;

mod direct;
mod driver;
mod future;
mod queue;
mod shared;
mod verdict;

pub use future::ResponseFuture;

use self::shared::{Shared, Wanted};
use crate::backend::Publisher;
use crate::{Error, ErrorKind, Message, Published};

/// Turns a [`Publisher`] into a [`Topic`](crate::Topic) by natural batching.
///
/// A message alone is published at once. What is queued while a call is under way goes into the next, as
/// much of it as the [capabilities](crate::backend::PublishCapabilities) of the publisher let one call
/// take. No timer makes a message wait for company. Each call is answered with the broker's word on that
/// very message.
///
/// A message that does not fit the publisher is refused by itself, before it is queued.
///
/// # Retries
///
/// A message is published again, after a growing pause or the one its error asks for, while its error is
/// [retryable](Error::is_retryable) and its [time](Self::timeout) lasts. An
/// [ambiguous](Error::is_ambiguous) failure is repeated only if the broker refuses duplicates and the
/// message has an [id](crate::Message::id). What ends a message's time is its last error, or
/// [`Timeout`](ErrorKind::Timeout). While nothing at all gets through, nothing new is tried either before
/// the pause is over.
///
/// # Order
///
/// Messages of one [key](crate::Message::key) are published in the order of their calls: those behind one
/// that is under way or waits for a retry wait as well. Within one call of the publisher their order is the
/// publisher's, and one that failed for good does not keep those behind it back. Messages without a key
/// keep their order while there is at most [one call at a time](Self::max_in_flight) and none is retried.
///
/// # Cancellation and failures
///
/// A call whose future is dropped before its message was passed to the publisher publishes nothing; later,
/// the message may be published or not. Its neighbours do not notice. A publisher that panics fails the
/// messages it was given with an ambiguous error, and is called again for the next ones. What a runtime
/// that shuts down leaves behind is answered with [`Unavailable`](ErrorKind::Unavailable).
///
/// # Cost
///
/// A task runs while there is something to publish and then ends, so there is nothing to shut down;
/// [`flush`](Self::flush) waits for it. Calls must be made within a tokio runtime with its timer.
///
/// A publisher that [batches by itself](crate::backend::PublishCapabilities::self_batching) is called for
/// each message on its own, by the future of that call. Such a message is published when that future is
/// polled, and not repeated if it has a key, since only the client could keep the order.
pub struct Batched<P> {
    shared: Arc<Shared<P>>,
    room: PollSemaphore,
    // Never cloned: a clone is not ready.
    permit: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy, Debug)]
struct Options {
    max_pending: usize,
    max_pending_bytes: usize,
    max_in_flight: usize,
    timeout: Duration,
}

impl<P: Publisher> Batched<P> {
    /// Batches what is published through `publisher`: at most 4096 messages or 16 MiB pending, one call at
    /// a time, and 10 seconds for each message.
    pub fn new(publisher: P) -> Self {
        let options = Options {
            max_pending: 4096,
            max_pending_bytes: 16 << 20,
            max_in_flight: 1,
            timeout: Duration::from_secs(10),
        };
        Self::with_options(Arc::new(publisher), options)
    }

    /// Sets how many messages may be pending, which is queued or under way, before the topic is not ready
    /// for another. At least 1.
    #[must_use]
    pub fn max_pending(self, messages: usize) -> Self {
        let max_pending = messages.clamp(1, Semaphore::MAX_PERMITS);
        self.reconfigured(Options { max_pending, ..self.shared.options })
    }

    /// Sets how many bytes of bodies and attributes may be pending before the topic is not ready for
    /// another message. Handles that are ready already may go over it by a message each. At least 1.
    #[must_use]
    pub fn max_pending_bytes(self, bytes: usize) -> Self {
        self.reconfigured(Options { max_pending_bytes: bytes.max(1), ..self.shared.options })
    }

    /// Sets how many calls to the publisher may be under way at once, to make up for the time each takes.
    /// At least 1, which keeps the order of messages without a key too.
    ///
    /// A call beside others is made only when it is full, so that a higher number does not make for more
    /// and smaller calls.
    #[must_use]
    pub fn max_in_flight(self, calls: usize) -> Self {
        self.reconfigured(Options { max_in_flight: calls.max(1), ..self.shared.options })
    }

    /// Sets how long a message may take from its call to its answer, retries included.
    ///
    /// When its time is over a message is answered with [`Timeout`](ErrorKind::Timeout), ambiguous if it
    /// was under way; one that waits behind a call hears of it when that call is over.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.reconfigured(Options { timeout, ..self.shared.options })
    }

    /// The publisher.
    #[must_use]
    pub fn get_ref(&self) -> &P {
        &self.shared.publisher
    }

    /// Waits until every message accepted so far, through this handle or a clone, has its result.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn flush(&self) {
        self.shared.flush().await;
    }

    /// A handle with a queue of its own. Clones made before keep theirs, and their options.
    fn reconfigured(&self, options: Options) -> Self {
        Self::with_options(Arc::clone(&self.shared.publisher), options)
    }

    fn with_options(publisher: Arc<P>, options: Options) -> Self {
        Self::from_shared(Arc::new(Shared::new(publisher, options)))
    }
}

impl<P> Batched<P> {
    fn from_shared(shared: Arc<Shared<P>>) -> Self {
        Self { room: PollSemaphore::new(Arc::clone(&shared.room)), shared, permit: None }
    }
}

/// Ready while there is room for another message; a clone has to become ready by itself.
///
/// `call` panics when the handle is not ready, as in tower.
impl<P: Publisher> Service<Message> for Batched<P> {
    type Response = Published;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.permit.is_none() {
            self.permit = ready!(self.room.poll_acquire(cx));
            debug_assert!(self.permit.is_some(), "the semaphore is never closed");
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Message) -> ResponseFuture {
        let permit = self.permit.take().expect("poll_ready must be called, and be ready, before each call");
        let capabilities = self.shared.publisher.publish_capabilities();
        if let Err(error) = capabilities.check(&message) {
            return ResponseFuture::refused(error);
        }
        let Ok(runtime) = Handle::try_current() else {
            return ResponseFuture::refused(Error::new(
                ErrorKind::Unavailable,
                "message cannot be published outside of a tokio runtime",
            ));
        };
        let message = message.into_outgoing();
        if capabilities.self_batching {
            return ResponseFuture::direct(direct::publish(&self.shared, permit, message));
        }
        let (reply, answer) = oneshot::channel();
        match self.shared.push(permit, message, reply) {
            Wanted::Nothing => {}
            Wanted::Wake => self.shared.wake.notify_one(),
            Wanted::Worker => driver::start(&self.shared, &runtime),
        }
        ResponseFuture::queued(answer)
    }
}

impl<P> Clone for Batched<P> {
    fn clone(&self) -> Self {
        Self::from_shared(Arc::clone(&self.shared))
    }
}

impl<P: fmt::Debug> fmt::Debug for Batched<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched")
            .field("publisher", &self.shared.publisher)
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}
