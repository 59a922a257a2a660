//! [`TrackedTopic`], a topic whose messages a session follows.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use chappe_core::backend::Queue;
use chappe_core::{BoxError, Error, Message, Published, Topic};
use pin_project::pin_project;
use tower_service::Service;

use super::board::Board;
use super::{Tracked, stamp};

/// A topic whose messages a [`Session`](super::Session) follows.
///
/// Messages on their way to tracked queues carry one more attribute, by which they are known there. The
/// queues take it off again.
#[derive(Clone)]
pub struct TrackedTopic<T> {
    topic: T,
    board: Arc<Board>,
    name: usize,
    queues: Vec<usize>,
}

impl<T> TrackedTopic<T> {
    pub(super) fn new(board: &Arc<Board>, name: &str, topic: T) -> Self {
        Self { topic, board: Arc::clone(board), name: board.book().topic(name), queues: Vec::new() }
    }

    /// Says that what is published gets to this queue, so that the session waits for it there. A topic may
    /// lead to several queues, each of which gets a copy.
    #[must_use]
    pub fn leads_to<Q: Queue>(mut self, queue: &Tracked<Q>) -> Self {
        let queue = queue.queue_index(&self.board);
        if !self.queues.contains(&queue) {
            self.queues.push(queue);
        }
        self
    }

    /// The topic that is published to.
    pub fn get_ref(&self) -> &T {
        &self.topic
    }
}

impl<T: Topic> Service<Message> for TrackedTopic<T> {
    type Response = Published;
    type Error = Error;
    type Future = TrackedPublish<T::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.topic.poll_ready(cx).map_err(Error::from_boxed)
    }

    fn call(&mut self, mut message: Message) -> Self::Future {
        let publication = self.board.book().publishing(self.name, &self.queues, &message);
        let entry = Entry { board: Arc::clone(&self.board), publication: Some(publication) };
        if !self.queues.is_empty() {
            stamp::put(&mut message, self.board.nonce, publication);
        }
        TrackedPublish { call: self.topic.call(message), entry }
    }
}

impl<T> fmt::Debug for TrackedTopic<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedTopic").field("name", &self.board.book().topics[self.name]).finish_non_exhaustive()
    }
}

/// The future of a call of [`TrackedTopic`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct TrackedPublish<F> {
    #[pin]
    call: F,
    entry: Entry,
}

impl<F, E> Future for TrackedPublish<F>
where
    F: Future<Output = Result<Published, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Published, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.call.poll(cx)).map_err(Error::from_boxed);
        this.entry.close(Some(result.as_ref()));
        Poll::Ready(result)
    }
}

impl<F> fmt::Debug for TrackedPublish<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedPublish").finish_non_exhaustive()
    }
}

/// A publication whose end is entered in the book, also if its future is dropped.
struct Entry {
    board: Arc<Board>,
    publication: Option<usize>,
}

impl Entry {
    fn close(&mut self, answer: Option<Result<&Published, &Error>>) {
        if let Some(publication) = self.publication.take() {
            self.board.change(|book| book.published(publication, answer));
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.close(None);
    }
}
