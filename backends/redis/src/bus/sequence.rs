//! [`Sequence`], which sees when messages of a publisher are missing.

use std::collections::HashMap;

use super::envelope::{Mark, Origin};

/// How many publishers of a topic are kept count of.
const MAX_ORIGINS: usize = 4_096;

/// The last message of each publisher of a topic.
#[derive(Default)]
pub(super) struct Sequence(HashMap<Origin, u64>);

impl Sequence {
    /// Whether messages between this and the last one of its publisher are missing.
    pub(super) fn has_hole(&mut self, mark: Mark) -> bool {
        if self.0.len() >= MAX_ORIGINS && !self.0.contains_key(&mark.origin) {
            // Publishers come and go. To forget the others costs no more than a hole that is not seen.
            self.0.clear();
        }
        let last = self.0.insert(mark.origin, mark.seq);
        last.is_some_and(|last| mark.seq > last.saturating_add(1))
    }

    /// Begins anew, as after a connection was lost.
    pub(super) fn clear(&mut self) {
        self.0.clear();
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
}
