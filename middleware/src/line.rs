//! [`Line`], those who wait for their turn, first come, first served.

use std::collections::BTreeMap;
use std::task::Waker;

/// Those who wait for their turn, in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Line {
    waiting: BTreeMap<u64, Waker>,
    last: u64,
}

/// A place in a line; `None` outside of it.
pub(crate) type Place = Option<u64>;

impl Line {
    /// Joins the line, or stays where one is, to be woken by `waker`.
    pub(crate) fn wait(&mut self, place: &mut Place, waker: &Waker) {
        let number = *place.get_or_insert_with(|| {
            self.last += 1;
            self.last
        });
        self.waiting.entry(number).and_modify(|old| old.clone_from(waker)).or_insert_with(|| waker.clone());
    }

    /// Leaves the line.
    pub(crate) fn leave(&mut self, place: &mut Place) {
        if let Some(number) = place.take() {
            self.waiting.remove(&number);
        }
    }

    /// Whether nobody else is before a place.
    #[cfg(feature = "rate-limit")]
    pub(crate) fn is_first(&self, place: Place) -> bool {
        self.waiting.first_key_value().is_none_or(|(first, _)| Some(*first) == place)
    }

    /// What wakes the first.
    #[cfg(feature = "rate-limit")]
    pub(crate) fn first(&self) -> Option<Waker> {
        self.waiting.first_key_value().map(|(_, waker)| waker.clone())
    }

    /// What wakes everybody.
    #[cfg(feature = "breaker")]
    pub(crate) fn all(&self) -> Vec<Waker> {
        self.waiting.values().cloned().collect()
    }
}
