//! [`Tally`], how often messages have been tried that Pub/Sub does not count.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chappe_core::MessageId;

/// How many messages are remembered: those that failed here and have not been acknowledged here since.
const MOST: usize = 100_000;

/// Counts the attempts this process has made, as Pub/Sub counts only under a dead-letter policy. What is acknowledged
/// is forgotten, and so is the oldest when there are too many.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    attempts: HashMap<MessageId, u32>,
    /// In the order they failed first.
    order: VecDeque<MessageId>,
}

impl Tally {
    /// How often a message was tried here.
    pub(super) fn of(&self, message: Option<&MessageId>) -> u32 {
        let state = self.lock();
        // Nearly always nothing has failed.
        if state.attempts.is_empty() {
            return 0;
        }
        message.and_then(|id| state.attempts.get(id)).copied().unwrap_or(0)
    }

    /// Takes note that a message was tried in vain.
    pub(super) fn failed(&self, message: Option<&MessageId>) {
        let Some(id) = message else { return };
        let mut state = self.lock();
        let State { attempts, order } = &mut *state;
        if let Some(count) = attempts.get_mut(id) {
            *count = count.saturating_add(1);
            return;
        }
        attempts.insert(id.clone(), 1);
        order.push_back(id.clone());
        while attempts.len() > MOST || order.len() > 2 * MOST {
            let Some(oldest) = order.pop_front() else { break };
            attempts.remove(&oldest);
        }
    }

    /// Forgets a message that is done.
    pub(super) fn done(&self, message: Option<&MessageId>) {
        let mut state = self.lock();
        if !state.attempts.is_empty()
            && let Some(id) = message
        {
            state.attempts.remove(id);
        }
        if state.attempts.is_empty() {
            state.order.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_counted_until_it_is_done() {
        let tally = Tally::default();
        let id = MessageId::from_u64(7);

        tally.failed(Some(&id));
        tally.failed(Some(&id));
        let twice = tally.of(Some(&id));
        tally.done(Some(&id));

        assert_eq!((twice, tally.of(Some(&id)), tally.of(None)), (2, 0, 0));
    }

    #[test]
    fn the_oldest_are_forgotten_when_there_are_too_many() {
        let tally = Tally::default();
        for number in 0..MOST as u64 + 10 {
            tally.failed(Some(&MessageId::from_u64(number)));
        }

        assert_eq!(tally.lock().attempts.len(), MOST);
        assert_eq!((tally.of(Some(&MessageId::from_u64(0))), tally.of(Some(&MessageId::from_u64(10)))), (0, 1));
    }
}
