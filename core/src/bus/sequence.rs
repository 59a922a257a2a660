//! The numbers of messages, by which subscribers see that some are missing.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Mark, Origin};

/// How many publishers of a topic are kept count of.
const MAX_ORIGINS: usize = 4_096;
/// How many topics are kept count of.
const MAX_TOPICS: usize = 65_536;

/// The last message of each publisher of a topic, as a subscriber has them.
#[derive(Debug, Default)]
pub struct Sequence(HashMap<Origin, u64>);

impl Sequence {
    /// Whether messages between this and the last one of its publisher are missing.
    pub fn has_hole(&mut self, mark: Mark) -> bool {
        if self.0.len() >= MAX_ORIGINS && !self.0.contains_key(&mark.origin) {
            // Publishers come and go. To forget the others costs no more than a hole that is not seen.
            self.0.clear();
        }
        let last = self.0.insert(mark.origin, mark.seq);
        last.is_some_and(|last| mark.seq > last.saturating_add(1))
    }

    /// Begins anew, as after a connection was lost.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// The last message to each topic, as a publisher has them.
#[derive(Debug, Default)]
pub struct Numbers {
    last: HashMap<Arc<str>, u64>,
    /// Where topics begin that are not among them.
    first: u64,
}

impl Numbers {
    /// The number of the last message to a topic.
    #[must_use]
    pub fn last(&self, topic: &str) -> u64 {
        self.last.get(topic).copied().unwrap_or(self.first)
    }

    /// Sets it. A publisher does so before it sends, as a call that is given up may have gone through, and back
    /// if nothing was sent for sure.
    pub fn set_last(&mut self, topic: &Arc<str>, last: u64) {
        if self.last.len() >= MAX_TOPICS && !self.last.contains_key(topic) {
            // No number is used twice, so to begin anew looks like a hole at worst.
            self.first = self.last.drain().map(|(_, last)| last).max().unwrap_or(0).max(self.first);
        }
        self.last.insert(Arc::clone(topic), last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_seen_within_the_messages_of_one_publisher() {
        let mut sequence = Sequence::default();
        let (one, other) = (Origin::random(), Origin::random());
        let mut hole = |origin, seq| sequence.has_hole(Mark { origin, seq });

        assert!(!hole(one, 5), "what came before it was subscribed");
        assert!(!hole(one, 6));
        assert!(!hole(other, 1));
        assert!(hole(one, 8));
        assert!(!hole(one, 9));
    }

    #[test]
    fn a_topic_that_was_forgotten_goes_on_behind_all_others() {
        let mut numbers = Numbers::default();
        let topic = |at: usize| -> Arc<str> { at.to_string().into() };
        (0..MAX_TOPICS).for_each(|at| numbers.set_last(&topic(at), at as u64 + 1));

        numbers.set_last(&topic(MAX_TOPICS), 1);

        assert_eq!(numbers.last("7"), MAX_TOPICS as u64);
        assert_eq!(numbers.last.len(), 1);
    }

    #[test]
    fn publishers_that_were_forgotten_are_not_taken_for_holes() {
        let mut sequence = Sequence::default();
        let known = Origin::random();
        assert!(!sequence.has_hole(Mark { origin: known, seq: 1 }));

        for _ in 0..MAX_ORIGINS {
            assert!(!sequence.has_hole(Mark { origin: Origin::random(), seq: 1 }));
        }

        assert!(!sequence.has_hole(Mark { origin: known, seq: 9 }));
    }
}
