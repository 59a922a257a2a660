//! What waits to be published, in order, and what may go into the next call.

use std::collections::{HashSet, VecDeque};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::verdict::Trial;
use crate::backend::{Outgoing, PublishCapabilities};
use crate::{Error, Key, Message, Published};

pub(super) type Reply = oneshot::Sender<Result<Published, Error>>;

/// One message's place in the queue and its caller.
pub(super) struct Ticket {
    seq: u64,
    bytes: usize,
    pub(super) trial: Trial,
    /// Not to be published again before.
    pub(super) due: Option<Instant>,
    /// Gone when the caller is answered.
    reply: Option<Reply>,
}

impl Ticket {
    pub(super) fn new(seq: u64, bytes: usize, deadline: Instant, reply: Reply) -> Self {
        Self { seq, bytes, trial: Trial::until(deadline), due: None, reply: Some(reply) }
    }

    pub(super) fn answer(&mut self, result: Result<Published, Error>) {
        if let Some(reply) = self.reply.take() {
            // A caller that has gone away does not mind.
            let _ = reply.send(self.trial.conclude(result));
        }
    }

    /// Gives up a message that nobody waits for.
    pub(super) fn abandon(&mut self) {
        self.reply = None;
    }

    pub(super) fn is_answered(&self) -> bool {
        self.reply.is_none()
    }

    /// Whether nobody waits for the answer.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

/// What one call to the publisher takes along; the two lists run in parallel.
#[derive(Default)]
pub(super) struct Flight {
    pub(super) tickets: Vec<Ticket>,
    pub(super) batch: Vec<Outgoing>,
    keys: Vec<Key>,
    first: Option<u64>,
}

#[derive(Default)]
pub(super) struct Queue {
    /// In the order of their calls, also those that are to be tried again.
    waiting: VecDeque<(Ticket, Message)>,
    waiting_bytes: usize,
    /// The keys of which a message is under way.
    busy: HashSet<Key>,
    /// The first message of each call under way.
    flights: Vec<u64>,
    next: u64,
    /// Of everything that has no result yet.
    pending_bytes: usize,
    /// How many messages have got their result since [`take_gone`](Self::take_gone).
    gone: usize,
}

impl Queue {
    /// Counts a message of this many bytes as pending and numbers it.
    pub(super) fn admit(&mut self, bytes: usize) -> u64 {
        self.pending_bytes += bytes;
        self.next += 1;
        self.next
    }

    pub(super) fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// How many messages have got their result since this was last asked.
    pub(super) fn take_gone(&mut self) -> usize {
        std::mem::take(&mut self.gone)
    }

    /// The number of the last message.
    pub(super) fn last(&self) -> u64 {
        self.next
    }

    /// Whether everything up to this number has its result.
    pub(super) fn is_settled(&self, seq: u64) -> bool {
        self.waiting.front().is_none_or(|(ticket, _)| ticket.seq > seq) && self.flights.iter().all(|&first| first > seq)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether there is enough for a call that is full.
    pub(super) fn fills(&self, limits: &PublishCapabilities) -> bool {
        self.waiting.len() >= limits.max_batch.max(1) || self.waiting_bytes >= limits.max_batch_bytes
    }

    /// Queues a message in its place, which for a new one is the last.
    pub(super) fn insert(&mut self, ticket: Ticket, message: Message) {
        let at = match self.waiting.back() {
            Some((last, _)) if last.seq > ticket.seq => {
                self.waiting.partition_point(|(other, _)| other.seq < ticket.seq)
            }
            _ => self.waiting.len(),
        };
        self.waiting_bytes += ticket.bytes;
        self.waiting.insert(at, (ticket, message));
    }

    /// Answers the messages whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        // All have the same time, so that the first is the first to expire.
        while self.earliest_deadline().is_some_and(|deadline| deadline <= now) {
            self.fail_first(Trial::timed_out);
        }
    }

    /// Answers the first message with an error.
    pub(super) fn fail_first(&mut self, error: impl FnOnce(&mut Trial) -> Error) {
        if let Some((mut ticket, _)) = self.waiting.pop_front() {
            self.waiting_bytes -= ticket.bytes;
            let error = error(&mut ticket.trial);
            ticket.answer(Err(error));
            self.settle(ticket.bytes);
        }
    }

    pub(super) fn earliest_deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|(ticket, _)| ticket.trial.deadline)
    }

    /// When the next message that waits for its retry may go.
    pub(super) fn earliest_retry(&self, now: Instant) -> Option<Instant> {
        self.waiting.iter().filter_map(|(ticket, _)| ticket.due).filter(|&due| due > now).min()
    }

    /// Fills `flight`, which is empty, with what may be published now, and drops what nobody waits for.
    ///
    /// A message that is not due holds back those behind it that have the same key.
    pub(super) fn take(&mut self, limits: &PublishCapabilities, now: Instant, flight: &mut Flight) {
        let mut held = HashSet::new();
        let (mut at, mut bytes) = (0, 0_usize);
        while at < self.waiting.len() && flight.batch.len() < limits.max_batch.max(1) {
            let (ticket, message) = &self.waiting[at];
            if !ticket.is_abandoned() {
                let key = message.key();
                if ticket.due.is_some_and(|due| due > now) {
                    held.extend(key.cloned());
                    at += 1;
                    continue;
                }
                if key.is_some_and(|key| self.busy.contains(key) || held.contains(key)) {
                    at += 1;
                    continue;
                }
                bytes = bytes.saturating_add(ticket.bytes);
                if bytes > limits.max_batch_bytes && !flight.batch.is_empty() {
                    break;
                }
            }
            let (ticket, message) = self.waiting.remove(at).expect("the index is below the length");
            self.waiting_bytes -= ticket.bytes;
            if ticket.is_abandoned() {
                self.settle(ticket.bytes);
                continue;
            }
            flight.first.get_or_insert(ticket.seq);
            flight.tickets.push(ticket);
            flight.batch.push(Outgoing::new(message));
        }
    }

    /// Takes note that a call is under way, and of its keys if there may be others beside it.
    pub(super) fn depart(&mut self, flight: &mut Flight, beside_others: bool) {
        self.flights.extend(flight.first);
        if beside_others {
            flight.keys.extend(flight.batch.iter().filter_map(|outgoing| outgoing.message.key().cloned()));
            self.busy.extend(flight.keys.iter().cloned());
        }
    }

    /// Takes note that a call is over: what has no answer is queued again.
    pub(super) fn arrive(&mut self, flight: &mut Flight) {
        for key in flight.keys.drain(..) {
            self.busy.remove(&key);
        }
        if let Some(first) = flight.first.take() {
            self.flights.retain(|&other| other != first);
        }
        for (ticket, outgoing) in flight.tickets.drain(..).zip(flight.batch.drain(..)) {
            if ticket.is_answered() {
                self.settle(ticket.bytes);
            } else {
                self.insert(ticket, outgoing.message);
            }
        }
    }

    /// Takes note that a message which is not queued is under way, until [`end`](Self::end).
    pub(super) fn begin(&mut self, seq: u64) {
        self.flights.push(seq);
    }

    pub(super) fn end(&mut self, seq: u64, bytes: usize) {
        self.flights.retain(|&first| first != seq);
        self.settle(bytes);
    }

    /// Counts a message as no longer pending.
    fn settle(&mut self, bytes: usize) {
        self.pending_bytes -= bytes;
        self.gone += 1;
    }
}
