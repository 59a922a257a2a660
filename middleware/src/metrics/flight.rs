//! [`Flights`], the calls in flight, and which of them is the oldest.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// The calls in flight at one destination.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<List>);

/// A call in flight.
#[derive(Debug)]
pub(super) struct Ticket(usize);

/// A list in the order in which calls began, linked within a vector: beginning and ending take the same time
/// however many there are, and room is used again.
#[derive(Debug, Default)]
struct List {
    nodes: Vec<Node>,
    first: Option<usize>,
    last: Option<usize>,
    /// The first node that is not in the list; the others follow by `next`.
    free: Option<usize>,
    messages: usize,
}

#[derive(Debug)]
struct Node {
    began: Instant,
    messages: usize,
    previous: Option<usize>,
    next: Option<usize>,
}

impl Flights {
    /// A call begins now.
    pub(super) fn begin(&self, now: Instant, messages: usize) -> Ticket {
        let mut list = self.lock();
        list.messages += messages;
        let node = Node { began: now, messages, previous: list.last, next: None };
        let at = match list.free {
            Some(at) => {
                list.free = list.nodes[at].next;
                list.nodes[at] = node;
                at
            }
            None => {
                list.nodes.push(node);
                list.nodes.len() - 1
            }
        };
        match list.last.replace(at) {
            Some(last) => list.nodes[last].next = Some(at),
            None => list.first = Some(at),
        }
        Ticket(at)
    }

    /// A call has ended. Answers when the oldest of the others began.
    pub(super) fn end(&self, ticket: &Ticket) -> Option<Instant> {
        let mut list = self.lock();
        let Node { messages, previous, next, .. } = list.nodes[ticket.0];
        match previous {
            Some(previous) => list.nodes[previous].next = next,
            None => list.first = next,
        }
        match next {
            Some(next) => list.nodes[next].previous = previous,
            None => list.last = previous,
        }
        list.nodes[ticket.0].next = list.free;
        list.free = Some(ticket.0);
        list.messages -= messages;
        list.oldest()
    }

    /// How many messages are in flight.
    pub(super) fn messages(&self) -> usize {
        self.lock().messages
    }

    /// When the oldest call in flight began.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.lock().oldest()
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn oldest(&self) -> Option<Instant> {
        self.first.map(|first| self.nodes[first].began)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_is_known_in_whatever_order_calls_end() {
        let flights = Flights::default();
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let tickets = [0, 1, 2].map(|second| flights.begin(at(second), 2));

        assert_eq!(flights.messages(), 6);
        assert_eq!(flights.end(&tickets[1]), Some(at(0)));
        assert_eq!(flights.end(&tickets[0]), Some(at(2)));
        assert_eq!(flights.end(&tickets[2]), None);
        assert_eq!((flights.messages(), flights.oldest()), (0, None));
    }

    #[test]
    fn room_is_used_again_and_nothing_is_mixed_up() {
        let flights = Flights::default();
        let start = Instant::now();
        let mut expected = VecDeque::new();
        let mut random = fastrand::Rng::with_seed(7);

        for step in 0..10_000 {
            if expected.len() < 5 && random.bool() {
                let now = start + Duration::from_micros(step);
                expected.push_back((now, flights.begin(now, 1)));
            } else if !expected.is_empty() {
                let (_, ticket) = expected.remove(random.usize(..expected.len())).expect("it is there");
                flights.end(&ticket);
            }
            assert_eq!(flights.oldest(), expected.front().map(|(began, _)| *began));
            assert_eq!(flights.messages(), expected.len());
        }

        assert!(flights.lock().nodes.len() <= 5);
    }
}
