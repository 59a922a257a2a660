//! [`Ledger`], which balances what was accepted against what became of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Accounts for every message of a run, as Jepsen's total-queue checker does: after a full drain, accepted =
/// acknowledged + dead + still queued.
///
/// Messages are told apart by a number of the test's own, in the body or an attribute. Shared among handlers
/// by reference.
///
/// # Examples
///
/// ```
/// use chappe_conformance::Ledger;
///
/// let ledger = Ledger::new();
/// ledger.accepted(1);
/// ledger.accepted(2);
/// ledger.acked(1);
/// ledger.acked(1);
///
/// let balance = ledger.balance();
/// assert_eq!(balance.lost, [2]);
/// assert_eq!(balance.duplicates, 1);
/// ```
#[derive(Debug, Default)]
pub struct Ledger(Mutex<BTreeMap<u64, Entry>>);

#[derive(Debug, Default)]
struct Entry {
    accepted: bool,
    attempted: bool,
    ends: u64,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The broker has confirmed a message: it must not be lost.
    pub fn accepted(&self, message: u64) {
        self.lock().entry(message).or_default().accepted = true;
    }

    /// A message was sent and the answer was lost: it may turn up and need not.
    pub fn attempted(&self, message: u64) {
        self.lock().entry(message).or_default().attempted = true;
    }

    /// A message was handled, and its handler answered that it was.
    pub fn acked(&self, message: u64) {
        self.end(message);
    }

    /// A message is in the dead letter.
    pub fn dead(&self, message: u64) {
        self.end(message);
    }

    /// A message is still in the queue, after everything has come to rest.
    pub fn queued(&self, message: u64) {
        self.end(message);
    }

    /// What does not add up.
    #[must_use]
    pub fn balance(&self) -> Balance {
        let mut balance = Balance::default();
        for (&message, entry) in &*self.lock() {
            balance.accepted += u64::from(entry.accepted);
            balance.duplicates += entry.ends.saturating_sub(1);
            match (entry.accepted, entry.attempted, entry.ends) {
                (true, _, 0) => balance.lost.push(message),
                (false, false, 1..) => balance.unexpected.push(message),
                (false, true, 1..) => balance.recovered += 1,
                _ => {}
            }
        }
        balance
    }

    fn end(&self, message: u64) {
        self.lock().entry(message).or_default().ends += 1;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a [`Ledger`] adds up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Balance {
    /// How many messages were accepted.
    pub accepted: u64,
    /// Accepted, and never seen again.
    pub lost: Vec<u64>,
    /// Seen, and never published.
    pub unexpected: Vec<u64>,
    /// How many messages turned up of those whose publisher had no answer.
    pub recovered: u64,
    /// How often a message came to an end again.
    pub duplicates: u64,
}

impl Balance {
    /// Fails the test if a message was lost or came from nowhere. Duplicates are allowed: every queue here
    /// delivers at least once.
    ///
    /// # Panics
    ///
    /// Then.
    #[track_caller]
    pub fn check(&self) {
        assert!(self.lost.is_empty() && self.unexpected.is_empty(), "{self}");
    }

    /// As [`check`](Self::check), and every message came to its end once.
    ///
    /// # Panics
    ///
    /// If not.
    #[track_caller]
    pub fn check_exact(&self) {
        self.check();
        assert_eq!(self.duplicates, 0, "{self}");
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let few = |messages: &[u64]| messages.iter().take(10).copied().collect::<Vec<_>>();
        write!(
            f,
            "of {} messages, {} lost (such as {:?}), {} unexpected (such as {:?}), {} duplicates, {} recovered",
            self.accepted,
            self.lost.len(),
            few(&self.lost),
            self.unexpected.len(),
            few(&self.unexpected),
            self.duplicates,
            self.recovered
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_came_to_an_end_once_balances() {
        let ledger = Ledger::new();
        (0..4).for_each(|message| ledger.accepted(message));
        ledger.attempted(4);

        ledger.acked(0);
        ledger.dead(1);
        ledger.queued(2);
        ledger.acked(3);
        ledger.acked(4);

        ledger.balance().check_exact();
        assert_eq!((ledger.balance().accepted, ledger.balance().recovered), (4, 1));
    }

    #[test]
    #[should_panic(expected = "1 lost (such as [7]), 1 unexpected (such as [8])")]
    fn what_is_lost_or_unexpected_is_named() {
        let ledger = Ledger::new();
        ledger.accepted(7);
        ledger.acked(8);

        ledger.balance().check();
    }
}
