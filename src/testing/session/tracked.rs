//! [`Tracked`], a queue whose messages a session follows.

use std::fmt;
use std::sync::Arc;

use chappe_core::backend::{
    Backend, Capabilities, ConsumeOptions, Consumer, Delivery, Depth, Fetch, Queue, Settlement, Status,
};
use chappe_core::{Error, Topic};

use super::board::{Board, Probe, Ticket};
use super::{TrackedTopic, stamp};

/// A queue whose messages a [`Session`](super::Session) follows, from when they are published by a tracked
/// topic, or else fetched, until they are acknowledged or dead-lettered. Serve it in place of the queue.
pub struct Tracked<Q> {
    queue: Arc<Q>,
    board: Arc<Board>,
    index: usize,
}

impl<Q: Queue> Tracked<Q> {
    pub(super) fn new(board: &Arc<Board>, queue: Q) -> Self {
        let queue = Arc::new(queue);
        let index = board.book().queue(queue.destination(), || probe(&queue));
        Self { queue, board: Arc::clone(board), index }
    }

    /// Wraps a topic that publishes to this queue, under the queue's name.
    #[must_use]
    pub fn track_topic<T: Topic>(&self, topic: T) -> TrackedTopic<T> {
        TrackedTopic::new(&self.board, self.queue.destination(), topic).leads_to(self)
    }

    /// Says that dead letters of this queue get to another, so that the session waits for them there.
    ///
    /// Without, a message is at its end when it is dead-lettered.
    pub fn dead_letters_to<D: Queue>(&self, dead: &Tracked<D>) {
        let dead = dead.queue_index(&self.board);
        self.board.book().queues[self.index].dead = Some(dead);
    }

    /// The queue that is followed.
    #[must_use]
    pub fn get_ref(&self) -> &Q {
        &self.queue
    }

    /// The place of the queue in the book, which must be the same session's.
    pub(super) fn queue_index(&self, board: &Arc<Board>) -> usize {
        let name = self.queue.destination();
        assert!(Arc::ptr_eq(&self.board, board), "queue {name} is tracked by another session");
        self.index
    }
}

#[cfg(feature = "memory")]
impl Tracked<chappe_memory::MemoryQueue> {
    /// The tracked topic of the queue.
    #[must_use]
    pub fn topic(&self) -> TrackedTopic<chappe_memory::MemoryTopic> {
        self.track_topic(self.queue.topic())
    }
}

#[deny(clippy::missing_trait_methods)]
impl<Q: Queue> Backend for Tracked<Q> {
    fn status(&self) -> &Status {
        self.queue.status()
    }

    fn system(&self) -> &'static str {
        self.queue.system()
    }

    fn destination(&self) -> &str {
        self.queue.destination()
    }
}

#[deny(clippy::missing_trait_methods)]
impl<Q: Queue> Queue for Tracked<Q> {
    type Receipt = TrackedReceipt<Q::Receipt>;
    type Consumer = TrackedConsumer<Q::Consumer>;

    fn capabilities(&self) -> &Capabilities {
        self.queue.capabilities()
    }

    async fn consume(&self, options: ConsumeOptions) -> Result<Self::Consumer, Error> {
        let consumer = self.queue.consume(options).await?;
        Ok(TrackedConsumer { consumer, fetched: Vec::new(), board: Arc::clone(&self.board), queue: self.index })
    }

    async fn settle(&self, batch: &mut [Settlement<Self::Receipt>]) -> Result<(), Error> {
        let pending: Vec<usize> = (0..batch.len()).filter(|&at| batch[at].result.is_pending()).collect();
        let mut inner: Vec<_> = pending.iter().map(|&at| self.unwrap(&mut batch[at])).collect();
        let answer = self.queue.settle(&mut inner).await;
        self.board.change(|book| {
            for (at, settled) in pending.into_iter().zip(inner) {
                let own = &mut batch[at];
                own.result = settled.result;
                own.message = settled.message.map(|mut message| {
                    stamp::take(&mut message, self.board.nonce);
                    message
                });
                book.settled(own.receipt.ticket, &own.action, &own.result, answer.as_ref().err());
            }
        });
        answer
    }

    async fn depth(&self) -> Result<Depth, Error> {
        self.queue.depth().await
    }

    async fn close(&self) -> Result<(), Error> {
        self.queue.close().await
    }
}

impl<Q: Queue> Tracked<Q> {
    /// The settlement for the queue itself, with the stamp the message may need to be known by again.
    fn unwrap(&self, own: &mut Settlement<TrackedReceipt<Q::Receipt>>) -> Settlement<Q::Receipt> {
        let mut inner = Settlement::new(own.receipt.inner.clone(), own.action.clone());
        inner.message = own.message.take();
        if let (Some(message), Some(publication)) = (&mut inner.message, own.receipt.ticket.publication) {
            stamp::put(message, self.board.nonce, publication);
        }
        inner
    }
}

impl<Q> Clone for Tracked<Q> {
    fn clone(&self) -> Self {
        Self { queue: Arc::clone(&self.queue), board: Arc::clone(&self.board), index: self.index }
    }
}

impl<Q: Queue> fmt::Debug for Tracked<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracked").field("queue", &self.queue.destination()).finish_non_exhaustive()
    }
}

/// Fetches from a [`Tracked`] queue.
pub struct TrackedConsumer<C: Consumer> {
    consumer: C,
    fetched: Vec<Delivery<C::Receipt>>,
    board: Arc<Board>,
    queue: usize,
}

#[deny(clippy::missing_trait_methods)]
impl<C: Consumer<Receipt: Clone + Send + Sync + 'static>> Consumer for TrackedConsumer<C> {
    type Receipt = TrackedReceipt<C::Receipt>;

    async fn fetch(&mut self, max: usize, out: &mut Vec<Delivery<Self::Receipt>>) -> Result<Fetch, Error> {
        let answer = self.consumer.fetch(max, &mut self.fetched).await;
        self.board.change(|book| {
            for Delivery { mut message, receipt, lease_until, lane, .. } in self.fetched.drain(..) {
                let publication = stamp::take(&mut message, self.board.nonce);
                let ticket = book.fetched(self.queue, publication, &message);
                let mut delivery = Delivery::new(message, TrackedReceipt { inner: receipt, ticket });
                (delivery.lease_until, delivery.lane) = (lease_until, lane);
                out.push(delivery);
            }
        });
        answer
    }
}

impl<C: Consumer> fmt::Debug for TrackedConsumer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedConsumer")
            .field("queue", &self.board.book().queues[self.queue].name)
            .finish_non_exhaustive()
    }
}

/// What settles a delivery of a [`Tracked`] queue.
#[derive(Clone, Debug)]
pub struct TrackedReceipt<R> {
    inner: R,
    ticket: Ticket,
}

fn probe<Q: Queue>(queue: &Arc<Q>) -> Probe {
    let queue = Arc::clone(queue);
    Arc::new(move || {
        let queue = Arc::clone(&queue);
        Box::pin(async move {
            let depth = queue.depth().await.ok()?;
            Some(depth.ready + depth.delayed + depth.in_flight == 0)
        })
    })
}
