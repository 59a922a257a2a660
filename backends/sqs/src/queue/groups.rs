//! [`Groups`], one message of a group at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chappe_core::backend::Delivery;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::receipt::SqsReceipt;

/// How many groups there may be before those nobody settles any more are looked for.
const SWEEP: usize = 1024;

type Held = Delivery<SqsReceipt>;

/// Keeps the order of a FIFO queue's groups for one consumer.
///
/// A receive may bring several messages of a group, in order. The first is handed out; those behind it are
/// held until it is settled for good. When it is to be tried again, they go back to the queue in the very
/// request that puts it off: it keeps its group locked there, so they cannot overtake it.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Debug)]
struct State {
    groups: HashMap<Arc<str>, Group>,
    /// Those whose turn has come.
    ready: VecDeque<Held>,
    held: usize,
    /// How many groups there may be before those nobody settles any more are looked for.
    sweep_at: usize,
}

#[derive(Debug)]
struct Group {
    head: SqsReceipt,
    followers: VecDeque<Held>,
}

impl Default for State {
    fn default() -> Self {
        Self { groups: HashMap::new(), ready: VecDeque::new(), held: 0, sweep_at: SWEEP }
    }
}

impl State {
    fn forget(&mut self, group: &Arc<str>) {
        let gone = self.groups.remove(group);
        self.held -= gone.map_or(0, |gone| gone.followers.len());
    }

    /// Forgets groups whose head is over: the server gave it up, and its group may never come again.
    fn sweep(&mut self, now: Instant) {
        self.groups.retain(|_, group| !group.head.lease().is_over(now));
        self.held = self.groups.values().map(|group| group.followers.len()).sum();
        self.sweep_at = SWEEP.max(2 * self.groups.len());
    }
}

impl Groups {
    /// Takes in what a receive brought.
    pub(super) fn admit(&self, group: Arc<str>, delivery: Held) {
        let now = Instant::now();
        let mut state = self.lock();
        if let Some(waiting) = state.groups.get_mut(&group) {
            if !waiting.head.lease().is_over(now) {
                waiting.followers.push_back(delivery);
                state.held += 1;
                return;
            }
            // Whoever had the head never said what became of it, and what is behind it is as old.
            state.forget(&group);
        }
        if state.groups.len() >= state.sweep_at {
            state.sweep(now);
        }
        state.groups.insert(group, Group { head: delivery.receipt.clone(), followers: VecDeque::new() });
        state.ready.push_back(delivery);
    }

    /// Moves up to `max` deliveries whose turn has come to `out`.
    pub(super) fn hand_out(&self, max: usize, out: &mut Vec<Held>) {
        let now = Instant::now();
        let mut state = self.lock();
        while out.len() < max {
            let Some(delivery) = state.ready.pop_front() else { return };
            if !delivery.receipt.lease().is_over(now) {
                out.push(delivery);
            } else if let Some((_, group)) = delivery.receipt.group() {
                state.forget(group);
            }
        }
    }

    /// How many wait for one of their group.
    pub(super) fn held(&self) -> usize {
        self.lock().held
    }

    /// Waits until there may be something to hand out.
    pub(super) async fn changed(&self) {
        self.bell.notified().await;
    }

    /// The followers of a head that is to be tried again: they go back with it.
    pub(super) fn take_followers(&self, group: &Arc<str>, head: &SqsReceipt) -> Vec<SqsReceipt> {
        let mut state = self.lock();
        let Some(waiting) = state.groups.get_mut(group).filter(|waiting| waiting.head.is(head)) else {
            return Vec::new();
        };
        let followers: Vec<_> = waiting.followers.drain(..).map(|delivery| delivery.receipt).collect();
        state.held -= followers.len();
        followers
    }

    /// The followers of a head whose lease is renewed: theirs are renewed with it.
    pub(super) fn followers(&self, group: &Arc<str>, head: &SqsReceipt) -> Vec<SqsReceipt> {
        let state = self.lock();
        let waiting = state.groups.get(group).filter(|waiting| waiting.head.is(head));
        waiting.into_iter().flat_map(|waiting| &waiting.followers).map(|delivery| delivery.receipt.clone()).collect()
    }

    /// A head is settled for good: the next has its turn.
    pub(super) fn advance(&self, group: &Arc<str>, head: &SqsReceipt) {
        let now = Instant::now();
        let mut state = self.lock();
        let State { groups, ready, held, .. } = &mut *state;
        let Some(waiting) = groups.get_mut(group).filter(|waiting| waiting.head.is(head)) else { return };
        let before = waiting.followers.len();
        let next = std::iter::from_fn(|| waiting.followers.pop_front()).find(|next| !next.receipt.lease().is_over(now));
        *held -= before - waiting.followers.len();
        match next {
            Some(mut next) => {
                waiting.head = next.receipt.clone();
                // It may have been renewed while it was held.
                next.lease_until = Some(next.receipt.lease().until());
                ready.push_back(next);
            }
            None => drop(groups.remove(group)),
        }
        drop(state);
        self.bell.notify_one();
    }

    /// Takes everything out, in order within each group.
    pub(super) fn empty(&self) -> Vec<Held> {
        let mut state = self.lock();
        let State { groups, ready, held, .. } = &mut *state;
        *held = 0;
        let mut all: Vec<_> = ready.drain(..).collect();
        all.extend(groups.values_mut().flat_map(|group| group.followers.drain(..)));
        all
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chappe_core::Message;

    use super::*;

    fn delivery(groups: &Arc<Groups>, group: &str, body: &str) -> Held {
        let receipt = SqsReceipt::new(body.to_owned(), Instant::now(), Duration::from_secs(30), None);
        Delivery::new(Message::new(body.to_owned()), receipt.grouped(groups, group.into()))
    }

    fn admit(groups: &Arc<Groups>, group: &str, body: &str) {
        groups.admit(group.into(), delivery(groups, group, body));
    }

    fn out(groups: &Groups) -> Vec<Held> {
        let mut out = Vec::new();
        groups.hand_out(10, &mut out);
        out
    }

    fn handles(deliveries: &[Held]) -> Vec<&str> {
        deliveries.iter().map(|delivery| delivery.receipt.handle()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_each_group_is_out_at_a_time() {
        let groups = Arc::new(Groups::default());
        for (group, body) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")] {
            admit(&groups, group, body);
        }

        let first = out(&groups);
        groups.advance(&"a".into(), &first[0].receipt);
        let second = out(&groups);

        assert_eq!((handles(&first), handles(&second), groups.held()), (vec!["a1", "b1"], vec!["a2"], 1));
    }

    #[tokio::test(start_paused = true)]
    async fn followers_go_back_with_a_head_that_is_tried_again() {
        let groups = Arc::new(Groups::default());
        for body in ["1", "2", "3"] {
            admit(&groups, "a", body);
        }
        let head = out(&groups).remove(0).receipt;

        let back = groups.take_followers(&"a".into(), &head);
        groups.advance(&"a".into(), &head);

        assert_eq!(back.iter().map(SqsReceipt::handle).collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!((out(&groups).len(), groups.held()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_arrives_before_the_word_of_a_retry_waits_for_it() {
        let groups = Arc::new(Groups::default());
        admit(&groups, "a", "1");
        let head = out(&groups).remove(0).receipt;

        groups.take_followers(&"a".into(), &head);
        admit(&groups, "a", "1 again");
        let early = out(&groups);
        groups.advance(&"a".into(), &head);

        assert!(early.is_empty());
        assert_eq!(handles(&out(&groups)), ["1 again"]);
    }

    #[tokio::test(start_paused = true)]
    async fn groups_nobody_settles_do_not_pile_up() {
        let groups = Arc::new(Groups::default());
        for number in 0..5 * SWEEP {
            admit(&groups, &number.to_string(), "x");
            drop(out(&groups));
            tokio::time::advance(Duration::from_secs(1)).await;
        }

        assert!(groups.lock().groups.len() <= SWEEP);
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_whose_head_was_never_heard_of_again_begins_anew() {
        let groups = Arc::new(Groups::default());
        for body in ["1", "2"] {
            admit(&groups, "a", body);
        }
        drop(out(&groups));
        tokio::time::advance(Duration::from_secs(31)).await;

        admit(&groups, "a", "1 again");

        assert_eq!((handles(&out(&groups)), groups.held()), (vec!["1 again"], 0));
    }
}
