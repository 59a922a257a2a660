//! [`Board`], where a session keeps book of every message.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chappe_core::backend::{Action, SettleResult};
use chappe_core::{Error, Message, MessageId, Published};
use tokio::sync::Notify;

use super::Fate;
use super::trace::{Publication, Sent, Trace};

/// Asks a queue whether it is empty; not every queue tells.
pub(super) type Probe = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Option<bool>> + Send>> + Send + Sync>;

/// Where a session keeps book of every message, under one lock.
pub(super) struct Board {
    book: Mutex<Book>,
    /// Rung when there may be nothing left to wait for.
    pub(super) quiet: Notify,
    /// Tells the stamps of this session from those of others on the same broker.
    pub(super) nonce: u64,
}

/// A delivery, for whoever settles it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    trace: usize,
    delivery: u64,
    pub(super) publication: Option<usize>,
}

#[derive(Default)]
pub(super) struct Book {
    pub(super) queues: Vec<Queue>,
    pub(super) topics: Vec<Arc<str>>,
    pub(super) publications: Vec<Publication>,
    pub(super) traces: Vec<Trace>,
    /// The traces of what was published here, by publication and queue.
    stamped: HashMap<(usize, usize), usize>,
    /// The traces of what came from elsewhere, by queue.
    known: HashMap<(usize, MessageId), usize>,
    /// How many publications and traces are not at their end.
    open: usize,
    /// How many of them may be at their end without having said so.
    doubtful: usize,
    pub(super) servers: usize,
    /// How servers ended; an error ends the session.
    pub(super) ended: Vec<Result<(), String>>,
}

pub(super) struct Queue {
    pub(super) name: Arc<str>,
    pub(super) probe: Probe,
    pub(super) dead: Option<usize>,
}

impl Board {
    pub(super) fn new() -> Self {
        Self { book: Mutex::default(), quiet: Notify::new(), nonce: fastrand::u64(..) }
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the book, and says so if nothing certain is left to wait for.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.book();
        let result = change(&mut book);
        let quiet = book.is_quiet();
        drop(book);
        if quiet {
            self.quiet.notify_waiters();
        }
        result
    }
}

impl Book {
    pub(super) fn is_settled(&self) -> bool {
        self.open == 0
    }

    /// Whether all that is left to wait for may be over, or waiting is of no use.
    fn is_quiet(&self) -> bool {
        self.open == self.doubtful || self.is_hopeless()
    }

    /// Whether a server has failed, or all have ended.
    pub(super) fn is_hopeless(&self) -> bool {
        self.ended.iter().any(Result::is_err) || self.servers > 0 && self.ended.len() == self.servers
    }

    /// The queues that may no longer hold what is waited for, if nothing else is.
    pub(super) fn doubtful_queues(&self) -> Vec<(usize, Probe)> {
        if self.open > self.doubtful {
            return Vec::new();
        }
        let mut queues: Vec<usize> =
            self.traces.iter().filter(|trace| trace.fate.is_doubtful()).map(|trace| trace.queue).collect();
        queues.sort_unstable();
        queues.dedup();
        queues.into_iter().map(|queue| (queue, Arc::clone(&self.queues[queue].probe))).collect()
    }

    /// Resolves doubts about what an empty queue held; about one that does not tell, only where there is a
    /// hint. Returns whether there were any.
    pub(super) fn resolve_doubts(&mut self, queue: usize, is_empty: Option<bool>) -> bool {
        let mut resolved = false;
        for at in 0..self.traces.len() {
            let trace = &self.traces[at];
            if trace.queue != queue || !trace.fate.is_doubtful() {
                continue;
            }
            let fate = match (&trace.fate, &trace.gone, is_empty) {
                (_, _, Some(false)) | (Fate::Doubtful, _, None) | (_, None, None) => continue,
                (Fate::Doubtful, _, Some(true)) => Fate::Unpublished,
                (_, gone, _) => gone.clone().unwrap_or(Fate::Gone),
            };
            self.enter(at, fate);
            resolved = true;
        }
        resolved
    }

    pub(super) fn queue(&mut self, name: &str, probe: impl FnOnce() -> Probe) -> usize {
        let found = self.queues.iter().position(|queue| &*queue.name == name);
        found.unwrap_or_else(|| {
            self.queues.push(Queue { name: name.into(), probe: probe(), dead: None });
            self.queues.len() - 1
        })
    }

    pub(super) fn topic(&mut self, name: &str) -> usize {
        let found = self.topics.iter().position(|topic| &**topic == name);
        found.unwrap_or_else(|| {
            self.topics.push(name.into());
            self.topics.len() - 1
        })
    }

    /// Takes note of a message on its way to a topic, and through it to queues.
    pub(super) fn publishing(&mut self, topic: usize, queues: &[usize], message: &Message) -> usize {
        let publication = self.publications.len();
        // One that is passed on still has what belongs to its delivery.
        let message = message.clone().into_outgoing();
        self.publications.push(Publication {
            topic,
            queues: queues.into(),
            message: message.clone(),
            sent: Sent::Pending,
        });
        self.open += 1;
        for &queue in queues {
            self.trace(queue, Some(publication), message.clone(), Fate::Publishing);
        }
        publication
    }

    /// Takes note of what a topic answered; of nothing, if its future was dropped.
    pub(super) fn published(&mut self, publication: usize, answer: Option<Result<&Published, &Error>>) {
        let (sent, fate) = match answer {
            Some(Ok(receipt)) if receipt.duplicate => (Sent::Duplicate, Fate::Duplicate),
            Some(Ok(_)) => (Sent::Accepted, Fate::Queued),
            Some(Err(error)) if error.is_ambiguous() => (Sent::Failed(error.to_string()), Fate::Doubtful),
            Some(Err(error)) => (Sent::Failed(error.to_string()), Fate::Unpublished),
            None => (Sent::Failed("future was dropped".to_owned()), Fate::Doubtful),
        };
        self.open -= 1;
        self.publications[publication].sent = sent;
        for queue in Arc::clone(&self.publications[publication].queues).iter() {
            let at = self.stamped[&(publication, *queue)];
            // It may have been fetched already, or even settled.
            if self.traces[at].fate == Fate::Publishing {
                self.enter(at, fate.clone());
            }
        }
    }

    /// Takes note of a message that was fetched.
    pub(super) fn fetched(&mut self, queue: usize, publication: Option<usize>, message: &Message) -> Ticket {
        let publication = publication.filter(|publication| *publication < self.publications.len());
        let known = match (publication, message.id()) {
            (Some(publication), _) => self.stamped.get(&(publication, queue)).copied(),
            (None, Some(id)) => self.known.get(&(queue, id.clone())).copied(),
            (None, None) => None,
        };
        let at = known.unwrap_or_else(|| self.trace(queue, publication, message.clone(), Fate::Queued));
        let trace = &mut self.traces[at];
        trace.message = message.clone();
        trace.deliveries += 1;
        let delivery = trace.deliveries;
        // Whatever was said before: here it is.
        trace.gone = None;
        self.enter(at, Fate::InFlight);
        Ticket { trace: at, delivery, publication }
    }

    /// Takes note of what came of a settlement; where that is pending, of why the call failed.
    pub(super) fn settled(&mut self, ticket: Ticket, action: &Action, result: &SettleResult, call: Option<&Error>) {
        let at = ticket.trace;
        let trace = &mut self.traces[at];
        // A receipt from before a redelivery says nothing about where the message is now.
        let current = trace.deliveries == ticket.delivery;
        let end = match action {
            Action::Ack => Some(Fate::Acked),
            Action::DeadLetter { reason } => Some(Fate::DeadLettered(Arc::clone(reason))),
            _ => None,
        };
        let fate = match (action, result) {
            (Action::Extend { .. }, _) => return,
            (Action::Forget, _) | (_, SettleResult::Lost) => Fate::LeaseLost,
            (Action::Retry { reason, .. }, SettleResult::Done) => {
                trace.retries.push(reason.clone());
                Fate::Retrying
            }
            (Action::Release, SettleResult::Done) => {
                trace.released += 1;
                Fate::Queued
            }
            (_, SettleResult::Done) => {
                trace.gone.clone_from(&end);
                end.unwrap_or(Fate::Queued)
            }
            (_, SettleResult::Failed(error)) => return trace.troubled(error, end),
            _ => return call.map_or((), |error| trace.troubled(error, end)),
        };
        if let (Fate::DeadLettered(_), Some(publication)) = (&fate, trace.publication) {
            let message = trace.message.clone();
            if let Some(dead) = self.queues[trace.queue].dead {
                if !self.stamped.contains_key(&(publication, dead)) {
                    self.trace(dead, Some(publication), message, Fate::Queued);
                }
            }
        }
        if current {
            self.enter(at, fate);
        }
    }

    fn trace(&mut self, queue: usize, publication: Option<usize>, message: Message, fate: Fate) -> usize {
        let at = self.traces.len();
        match (publication, message.id()) {
            (Some(publication), _) => self.stamped.insert((publication, queue), at),
            (None, Some(id)) => self.known.insert((queue, id.clone()), at),
            (None, None) => None,
        };
        self.count(&fate, 1);
        self.traces.push(Trace::new(queue, publication, message, fate));
        at
    }

    fn enter(&mut self, at: usize, fate: Fate) {
        self.count(&fate, 1);
        let before = std::mem::replace(&mut self.traces[at].fate, fate);
        self.count(&before, -1);
    }

    fn count(&mut self, fate: &Fate, change: isize) {
        if !fate.is_final() {
            self.open = self.open.wrapping_add_signed(change);
        }
        if fate.is_doubtful() {
            self.doubtful = self.doubtful.wrapping_add_signed(change);
        }
    }
}
