//! [`MemoryTopic`], the publishing end of a [`MemoryQueue`](super::MemoryQueue).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use chappe_core::{Error, Message, Published};
use tokio::task::coop::poll_proceed;
use tower_service::Service;

use super::gate::Entry;
use super::room::Place;
use super::shared::{Admitted, Shared};
use crate::fault::Fault;

/// Publishes to a [`MemoryQueue`](super::MemoryQueue).
///
/// A call has the message in the queue before it returns, where there is room. Where there is none, its
/// future waits in a fair line and takes the message in when acknowledgements free some; dropped, it
/// leaves the line and the message is not published.
///
/// [`poll_ready`](Service::poll_ready) is pending while the queue is full. It promises nothing: another
/// publisher may be faster, and then the future waits. So a topic that was made ready and is never called
/// keeps no room from others.
pub struct MemoryTopic {
    shared: Arc<Shared>,
    word: Option<Place>,
}

impl MemoryTopic {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, word: None }
    }
}

impl Service<Message> for MemoryTopic {
    type Response = Published;
    type Error = Error;
    type Future = Publish;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.word.is_some() || self.shared.looks_full() {
            let word = self.word.get_or_insert_with(|| Place::new(&self.shared, None));
            ready!(word.poll_word(cx));
            self.word = None;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Message) -> Publish {
        let message = message.into_outgoing();
        if let Err(error) = self.shared.publish.check(&message) {
            return Publish::done(Err(error));
        }
        let mut lost = None;
        if self.shared.faults.is_active() {
            match self.shared.faults.on_publish(&self.shared.name) {
                Some(Fault { error, applied: false }) => return Publish::done(Err(error)),
                fault => lost = fault.map(|fault| fault.error),
            }
        }
        match self.shared.admit(message, Entry::Asked) {
            Admitted::Done(result) => Publish::done(hide(result, lost)),
            Admitted::Full(message) => {
                let place = Place::new(&self.shared, Some(self.shared.weigh(&message)));
                Publish { done: None, waiting: Some(Box::new(Waiting { place, message: Some(message), lost })) }
            }
        }
    }
}

/// A clone is not ready, whatever its original is.
impl Clone for MemoryTopic {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.shared))
    }
}

impl fmt::Debug for MemoryTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTopic").field("queue", &self.shared.name).finish_non_exhaustive()
    }
}

/// The future of a call of [`MemoryTopic`].
#[must_use = "futures do nothing unless polled"]
pub struct Publish {
    done: Option<Result<Published, Error>>,
    /// Boxed, so that a call that does not wait moves no message about. One that does is rare, as full
    /// topics are not ready.
    waiting: Option<Box<Waiting>>,
}

struct Waiting {
    place: Place,
    message: Option<Message>,
    /// The fault that hides the receipt.
    lost: Option<Error>,
}

impl Publish {
    fn done(result: Result<Published, Error>) -> Self {
        Self { done: Some(result), waiting: None }
    }
}

impl Future for Publish {
    type Output = Result<Published, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A publisher in a loop never waits while there is room, and must let others run all the same.
        let coop = ready!(poll_proceed(cx));
        if let Some(waiting) = &mut self.waiting {
            let Waiting { place, message, lost } = &mut **waiting;
            let result = ready!(place.poll_admit(message, cx));
            self.done = Some(hide(result, lost.take()));
            self.waiting = None;
        }
        coop.made_progress();
        Poll::Ready(self.done.take().expect("`Publish` is not polled after completion"))
    }
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish").field("waiting", &self.waiting.is_some()).finish_non_exhaustive()
    }
}

/// Puts the error of a fault in the place of a receipt.
fn hide(result: Result<Published, Error>, lost: Option<Error>) -> Result<Published, Error> {
    match lost {
        Some(error) => result.and(Err(error)),
        None => result,
    }
}
