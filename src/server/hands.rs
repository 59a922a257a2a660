//! [`Hands`], what a worker holds between the schedule and the settlers.

use std::collections::VecDeque;
use std::sync::Arc;

use chappe_core::backend::Queue;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::schedule::{Holder, Task, Turn, Unstarted};
use super::settle::Dues;
use super::shared::{Finished, Shared};

/// What a worker holds: jobs it has not started, and what is to be said of those it has finished.
pub(super) struct Hands<Q: Queue> {
    pub(super) shared: Arc<Shared<Q>>,
    pub(super) bell: Arc<Notify>,
    pub(super) tasks: VecDeque<Task>,
    /// Handled and to be acknowledged: what nearly all of them are, and so kept short.
    pub(super) acked: Vec<usize>,
    pub(super) finished: Vec<Finished>,
    unstarted: Unstarted<Q::Receipt>,
    dues: Dues<Q::Receipt>,
}

impl<Q: Queue> Hands<Q> {
    pub(super) fn new(shared: &Arc<Shared<Q>>) -> Self {
        Self {
            shared: Arc::clone(shared),
            bell: Arc::new(Notify::new()),
            tasks: VecDeque::new(),
            acked: Vec::new(),
            finished: Vec::new(),
            unstarted: Unstarted::default(),
            dues: Dues::default(),
        }
    }

    /// Hands in what was finished, and takes what is next until there are `max` tasks.
    pub(super) fn turn(&mut self, max: usize, now: Instant, holder: Holder) -> Turn {
        let mut schedule = self.shared.schedule();
        self.shared.complete(&mut schedule, &mut self.acked, &mut self.finished, &mut self.dues);
        let turn = schedule.take(max, now, &self.bell, holder, &mut self.tasks, &mut self.unstarted);
        drop(schedule);
        self.shared.submit(&mut self.dues);
        self.shared.sort_out(&mut self.unstarted);
        turn
    }

    /// Hands in what was finished, before a wait.
    pub(super) fn hand_in(&mut self) {
        if !self.acked.is_empty() || !self.finished.is_empty() {
            let mut schedule = self.shared.schedule();
            self.shared.complete(&mut schedule, &mut self.acked, &mut self.finished, &mut self.dues);
            drop(schedule);
            self.shared.submit(&mut self.dues);
        }
    }

    /// Gives back what was taken and not started.
    pub(super) fn give_back(&mut self) {
        if !self.tasks.is_empty() {
            let late = self.shared.schedule().give_back(&mut self.tasks);
            self.shared.release(late);
        }
    }
}

/// Nothing is lost with a worker that ends early. If serving itself was dropped, there is no settler any
/// more, and what it held comes back when its lease ends.
impl<Q: Queue> Drop for Hands<Q> {
    fn drop(&mut self) {
        self.give_back();
        let mut schedule = self.shared.schedule();
        self.shared.complete(&mut schedule, &mut self.acked, &mut self.finished, &mut self.dues);
        drop(schedule);
        self.shared.leave(&mut self.dues);
    }
}
