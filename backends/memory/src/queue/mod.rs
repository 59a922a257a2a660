//! [`MemoryQueue`], a work queue in this process.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use chappe_core::backend::{
    Action, Backend, Capabilities, ConsumeOptions, DeadLetter, Depth, Outgoing, PublishCapabilities, PublishResult,
    Publisher, Queue, SettleResult, Settlement, Status,
};
use chappe_core::{Error, ErrorKind, Message};
use tokio::time::Instant;

mod builder;
mod consumer;
mod faults;
mod gate;
mod room;
mod shared;
mod store;
mod topic;

pub use builder::MemoryQueueBuilder;
pub use consumer::MemoryConsumer;
pub use faults::QueueFaults;
pub use topic::{MemoryTopic, Publish};

use crate::fault::{EntryFault, Fault};
use gate::Entry;
use room::Place;
use shared::{Admitted, Shared};
use store::numbered;

/// A work queue in this process. A handle: clones are the same queue.
///
/// # Examples
///
/// ```
/// use chappe_core::Topic;
/// use chappe_memory::MemoryQueue;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), chappe_core::Error> {
/// let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
///
/// queue.topic().publish("resize 7.png").await?;
///
/// assert_eq!(queue.len(), 1);
/// assert!(dead.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryQueue(Arc<Shared>);

/// What settles a delivery of a [`MemoryQueue`]: which message, and which delivery of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemoryReceipt {
    seq: u64,
    slot: u32,
    generation: u32,
}

impl MemoryQueue {
    /// Creates a queue with default [options](Self::builder) and without a dead letter.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self::builder(name).assemble()
    }

    /// Creates a queue with default options, and one named `{name}.dead` that takes its dead letters.
    #[must_use]
    pub fn with_dead_letter(name: impl Into<Arc<str>>) -> (Self, Self) {
        let name = name.into();
        let dead = Self::new(format!("{name}.dead"));
        (Self::builder(name).dead_letter(&dead).assemble(), dead)
    }

    /// Creates a queue with options.
    pub fn builder(name: impl Into<Arc<str>>) -> MemoryQueueBuilder {
        MemoryQueueBuilder::new(name.into())
    }

    /// The end of the queue that is published to.
    #[must_use]
    pub fn topic(&self) -> MemoryTopic {
        MemoryTopic::new(Arc::clone(&self.0))
    }

    /// Has the queue fail in ways of your choice.
    #[must_use]
    pub fn faults(&self) -> QueueFaults {
        QueueFaults::new(Arc::clone(&self.0))
    }

    /// The queue that takes the dead letters of this one.
    #[must_use]
    pub fn dead(&self) -> Option<&Self> {
        self.0.dead.as_ref()
    }

    /// How many messages the queue holds: ready, delayed and in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.gate().len()
    }

    /// Whether the queue holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies of all messages the queue holds, ready, delayed and in flight, in the order of their places.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        let store = self.0.store();
        let gate = self.0.gate();
        let mut messages = store.messages();
        messages.extend(gate.messages().map(|(seq, message)| (seq, numbered(message.clone(), seq))));
        drop(gate);
        drop(store);
        messages.sort_by_key(|(seq, _)| *seq);
        messages.into_iter().map(|(_, message)| message).collect()
    }

    /// Takes out all messages that are ready, in their order. What is delayed, in flight, or behind such a
    /// message in its lane stays.
    #[must_use]
    pub fn drain(&self) -> Vec<Message> {
        self.withdraw(usize::MAX)
    }

    /// Moves up to `max` messages that are ready to another queue, as from a dead letter back to where it
    /// came from, and says how many were moved. They keep body, attributes, key and id, lose their
    /// [`DeadLetter`], and are tried anew from the first attempt. Like dead letters they need no room.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`]: the two are the same queue.
    /// - [`ErrorKind::Closed`]: the other queue is shut; nothing was moved.
    pub fn redrive_to(&self, queue: &Self, max: usize) -> Result<usize, Error> {
        if Arc::ptr_eq(&self.0, &queue.0) {
            return Err(Error::new(ErrorKind::Invalid, format!("queue {} cannot be redriven to itself", self.0.name)));
        }
        if queue.0.gate().is_shut() {
            return Err(queue.0.closed());
        }
        let messages = self.withdraw(max);
        let moved = messages.len();
        for mut message in messages {
            message.extensions_mut().remove::<DeadLetter>();
            if let Some(woken) = queue.force(message) {
                woken.wake();
            }
        }
        Ok(moved)
    }

    /// Refuses publishers from now on, also those that wait for room, with [`ErrorKind::Closed`]. Consumers
    /// go on until the queue is empty, and then stop, and so does a server that serves nothing else. A second
    /// call does nothing.
    pub fn shut(&self) {
        self.0.shut();
    }

    /// Whether the queue is [shut](Self::shut).
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.0.gate().is_shut()
    }

    fn from_shared(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Takes in a dead letter of another queue.
    fn bury(&self, mut message: Message, letter: DeadLetter) -> Option<Waker> {
        message.extensions_mut().insert(letter);
        self.force(message)
    }

    fn force(&self, mut message: Message) -> Option<Waker> {
        message.set_attempt(0);
        let bytes = self.0.weigh(&message);
        let mut gate = self.0.gate();
        gate.admit(message, bytes, Entry::Forced);
        let woken = gate.wake_one();
        self.0.note(&gate);
        drop(gate);
        woken
    }

    fn withdraw(&self, max: usize) -> Vec<Message> {
        let now = Instant::now();
        let mut woken = Vec::new();
        let mut messages = Vec::new();
        let mut store = self.0.store();
        loop {
            self.0.gate().pour_into(&mut store);
            store.advance(now);
            let some = store.withdraw(max - messages.len(), now);
            messages.extend(some);
            let mut gate = self.0.gate();
            if messages.len() < max && gate.has_news() {
                continue;
            }
            let bytes = messages.iter().map(|message| self.0.weigh(message)).sum();
            gate.free(messages.len(), bytes, &mut woken);
            woken.extend(gate.wake_for(false, store.next_due()));
            if gate.is_shut() && gate.len() == 0 {
                gate.wake_all(&mut woken);
            }
            self.0.note(&gate);
            break;
        }
        drop(store);
        woken.into_iter().for_each(Waker::wake);
        messages
    }
}

impl Backend for MemoryQueue {
    fn status(&self) -> &Status {
        self.0.status()
    }

    fn system(&self) -> &'static str {
        "memory"
    }

    fn destination(&self) -> &str {
        &self.0.name
    }
}

impl Queue for MemoryQueue {
    type Receipt = MemoryReceipt;
    type Consumer = MemoryConsumer;

    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn consume(&self, options: ConsumeOptions) -> Result<MemoryConsumer, Error> {
        self.0.faults.reachable(&self.0.name)?;
        Ok(MemoryConsumer::new(Arc::clone(&self.0), options.stop))
    }

    async fn settle(&self, batch: &mut [Settlement<MemoryReceipt>]) -> Result<(), Error> {
        let pending = batch.iter_mut().filter(|entry| entry.result.is_pending());
        if !self.0.faults.is_active() {
            self.0.settle(pending);
            return Ok(());
        }
        self.settle_faulty(batch)
    }

    async fn depth(&self) -> Result<Depth, Error> {
        self.0.faults.reachable(&self.0.name)?;
        let dead = self.0.dead.as_ref().map_or(0, Self::len);
        let now = Instant::now();
        let mut store = self.0.store();
        store.advance(now);
        let counts = store.counts();
        let (inbox, timed) = self.0.gate().news();
        let mut depth = Depth::default();
        depth.ready = (counts.ready + inbox) as u64;
        depth.delayed = (counts.delayed + timed) as u64;
        depth.in_flight = counts.in_flight as u64;
        depth.dead = dead as u64;
        Ok(depth)
    }

    /// Does nothing: a memory queue holds nothing for consuming, and other handles may go on.
    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl MemoryQueue {
    /// Settles what faults let through.
    fn settle_faulty(&self, batch: &mut [Settlement<MemoryReceipt>]) -> Result<(), Error> {
        let call = self.0.faults.on_settle(&self.0.name);
        if let Some(Fault { error, applied: false }) = call {
            return Err(error);
        }
        let pending: Vec<usize> = (0..batch.len()).filter(|&at| batch[at].result.is_pending()).collect();
        let faults: Vec<Option<EntryFault>> =
            pending.iter().map(|&at| self.0.faults.on_entry(batch[at].action == Action::Ack)).collect();
        let mut let_through = batch.iter_mut().enumerate().filter_map(|(at, entry)| {
            let fault = faults[pending.binary_search(&at).ok()?];
            (fault != Some(EntryFault::Failed)).then_some(entry)
        });
        self.0.settle(&mut let_through);
        for (&at, fault) in pending.iter().zip(faults) {
            if let Some(fault) = fault {
                batch[at].result = SettleResult::Failed(fault.error(&self.0.name));
            }
        }
        match call {
            Some(Fault { error, .. }) => {
                pending.into_iter().for_each(|at| batch[at].result = SettleResult::Pending);
                Err(error)
            }
            None => Ok(()),
        }
    }
}

impl Publisher for MemoryQueue {
    fn publish_capabilities(&self) -> &PublishCapabilities {
        &self.0.publish
    }

    /// See [`Publisher::publish`]. Waits for room, entry by entry.
    async fn publish(&self, batch: &mut [Outgoing]) -> Result<(), Error> {
        for entry in batch.iter_mut().filter(|entry| entry.result.is_pending()) {
            let lost = match self.0.faults.on_publish(&self.0.name) {
                Some(Fault { error, applied: false }) => return Err(error),
                fault => fault.map(|fault| fault.error),
            };
            let message = std::mem::take(&mut entry.message);
            let result = match self.0.admit(message, Entry::Asked) {
                Admitted::Done(result) => result,
                Admitted::Full(message) => {
                    entry.message = message;
                    let mut place = Place::new(&self.0, Some(self.0.weigh(&entry.message)));
                    std::future::poll_fn(|cx| place.poll_admit_from(&mut entry.message, cx)).await
                }
            };
            entry.result = match (result, lost) {
                (Ok(_), Some(error)) | (Err(error), _) => PublishResult::Failed(error),
                (Ok(published), None) => PublishResult::Accepted(published),
            };
        }
        Ok(())
    }
}

impl fmt::Debug for MemoryQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryQueue").field("name", &self.0.name).field("len", &self.len()).finish_non_exhaustive()
    }
}
