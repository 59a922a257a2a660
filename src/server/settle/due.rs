//! [`Dues`], settlements on their way to a queue.

use chappe_core::backend::{Action, Settlement};
use chappe_core::{Message, MessageId};
use tokio::time::Instant;

/// Settlements, and what is needed to follow them up. Two lists, as a queue is given the first as it is.
pub(in crate::server) struct Dues<R> {
    pub(super) settlements: Vec<Settlement<R>>,
    pub(super) tickets: Vec<Ticket>,
}

/// What is needed to follow up a settlement.
pub(in crate::server) struct Ticket {
    /// Of a lease that is renewed: where its slot is. There is none any more when a message is settled.
    pub(in crate::server) key: Option<usize>,
    pub(in crate::server) delivery: u64,
    pub(in crate::server) line: usize,
    pub(in crate::server) id: Option<MessageId>,
    pub(in crate::server) until: Option<Instant>,
    pub(in crate::server) tries: u32,
}

impl<R> Dues<R> {
    #[inline]
    pub(in crate::server) fn push(&mut self, receipt: R, action: Action, message: Option<Message>, ticket: Ticket) {
        let mut settlement = Settlement::new(receipt, action);
        settlement.message = message.map(Box::new);
        self.put((settlement, ticket));
    }

    pub(super) fn put(&mut self, (settlement, ticket): (Settlement<R>, Ticket)) {
        self.settlements.push(settlement);
        self.tickets.push(ticket);
    }

    pub(super) fn len(&self) -> usize {
        self.tickets.len()
    }

    pub(in crate::server) fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    /// Moves up to `max` of them to `batch`, which is empty; in the common case, where those are all,
    /// without copying any.
    pub(super) fn split_to(&mut self, max: usize, batch: &mut Self) {
        if self.len() <= max {
            std::mem::swap(self, batch);
        } else {
            batch.settlements.extend(self.settlements.drain(..max));
            batch.tickets.extend(self.tickets.drain(..max));
        }
    }

    /// Adds `more`, and leaves it empty.
    pub(super) fn append(&mut self, more: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, more);
        } else {
            self.settlements.append(&mut more.settlements);
            self.tickets.append(&mut more.tickets);
        }
    }

    /// Takes out those of one queue.
    pub(in crate::server) fn of_line(&mut self, line: usize) -> Self {
        let all = std::mem::take(self);
        let mut own = Self::default();
        for due in all {
            if due.1.line == line { own.put(due) } else { self.put(due) }
        }
        own
    }
}

impl<R> Default for Dues<R> {
    fn default() -> Self {
        Self { settlements: Vec::new(), tickets: Vec::new() }
    }
}

impl<R> IntoIterator for Dues<R> {
    type Item = (Settlement<R>, Ticket);
    type IntoIter = std::iter::Zip<std::vec::IntoIter<Settlement<R>>, std::vec::IntoIter<Ticket>>;

    fn into_iter(self) -> Self::IntoIter {
        self.settlements.into_iter().zip(self.tickets)
    }
}
