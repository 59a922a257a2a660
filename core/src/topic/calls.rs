//! [`Calls`], many calls of a topic under way at once.

use std::future::{Future, Ready, poll_fn, ready};
use std::pin::pin;
use std::task::Poll;

use futures_util::future::{Either, Join, JoinAll, join, join_all, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use super::{Topic, ready as topic_ready};
use crate::{Error, Published};

/// How many calls are driven together. To wake and poll one that is driven by itself costs as much as polling ten
/// that were answered by the same batch.
const GROUP: usize = 30;

/// Calls under way, and the results of those that are over.
pub(super) struct Calls<F: Future> {
    running: FuturesUnordered<Join<Ready<usize>, JoinAll<F>>>,
    /// The last calls, which are driven when they are enough for a group or nothing else can be done.
    fresh: Vec<F>,
    /// A place for each message, in their order.
    results: Vec<Option<Result<Published, Error>>>,
}

impl<F: Future<Output = Result<Published, Error>>> Calls<F> {
    pub(super) fn with_capacity(messages: usize) -> Self {
        Self { running: FuturesUnordered::new(), fresh: Vec::new(), results: Vec::with_capacity(messages) }
    }

    /// Waits until `topic` takes a message while the calls before it go on, since a full topic may be waiting
    /// for one of them to be driven to its end.
    pub(super) async fn ready<T: Topic>(&mut self, topic: &mut T) -> Result<(), Error> {
        let at_once = poll_fn(|cx| Poll::Ready(topic.poll_ready(cx).map_err(Error::from_boxed))).await;
        if let Poll::Ready(ready) = at_once {
            return ready;
        }
        self.drive();
        let mut waiting = pin!(topic_ready(topic));
        while !self.running.is_empty() {
            match select(waiting.as_mut(), self.running.next()).await {
                Either::Left((ready, _)) => return ready,
                Either::Right((Some(group), _)) => self.end(group),
                Either::Right((None, _)) => break,
            }
        }
        waiting.await
    }

    /// Takes in the call for the next message.
    pub(super) fn start(&mut self, call: F) {
        self.fresh.push(call);
        self.results.push(None);
        if self.fresh.len() == GROUP {
            self.drive();
            // A topic that answers at once must not leave a finished call behind for every message.
            while let Some(Some(group)) = self.running.next().now_or_never() {
                self.end(group);
            }
        }
    }

    /// Takes in that the topic failed before it was called for the next message.
    pub(super) fn refuse(&mut self, error: Error) {
        self.drive();
        self.results.push(Some(Err(error)));
    }

    /// Waits for the calls under way, and answers with the results of all.
    pub(super) async fn results(mut self) -> Vec<Result<Published, Error>> {
        self.drive();
        while let Some(group) = self.running.next().await {
            self.end(group);
        }
        self.results.into_iter().map(|result| result.expect("every message was called or refused")).collect()
    }

    /// Has the last calls driven with the others.
    fn drive(&mut self) {
        if !self.fresh.is_empty() {
            let first = self.results.len() - self.fresh.len();
            self.running.push(join(ready(first), join_all(self.fresh.drain(..))));
        }
    }

    fn end(&mut self, (first, results): (usize, Vec<Result<Published, Error>>)) {
        for (place, result) in self.results[first..].iter_mut().zip(results) {
            *place = Some(result);
        }
    }
}
