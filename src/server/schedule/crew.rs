//! The crew: which workers there are, who waits for work, and how many are missing.

use std::sync::Arc;

use chappe_core::LeaseControl;
use tokio::sync::Notify;

use super::{Holder, Schedule};

impl<R: Clone> Schedule<R> {
    /// How many workers are to be added; they count as members from now.
    pub(in crate::server) fn hire(&mut self) -> usize {
        let wanted = std::mem::take(&mut self.workers_wanted);
        self.workers += wanted;
        wanted
    }

    /// Takes note that a worker is gone for good.
    pub(in crate::server) fn dismiss(&mut self) {
        self.workers -= 1;
        if !self.draining && self.is_any_ready() {
            self.wake_worker();
        }
    }

    /// Enters a worker that handles one message at a time, and the lease its handler sees.
    pub(in crate::server) fn enlist(&mut self, control: LeaseControl) -> Holder {
        Holder::Worker(self.crew.insert(control))
    }

    /// Forgets a worker that has nothing in its hands.
    pub(in crate::server) fn discharge(&mut self, holder: Holder) {
        if let Holder::Worker(number) = holder {
            drop(self.crew.try_remove(number));
        }
    }

    /// Has a worker that holds some jobs already woken for the next, unless there is one now.
    pub(in crate::server) fn wait_for_more(&mut self, bell: &Arc<Notify>) -> bool {
        let wait = self.draining || self.paused_until.is_some() || !self.is_any_ready();
        if wait {
            self.idle.push(Arc::clone(bell));
        }
        wait
    }

    /// Takes back what [`wait_for_more`](Self::wait_for_more) asked for. Returns whether it was too late:
    /// then the bell was rung, and another worker is woken in this one's place.
    pub(in crate::server) fn stop_waiting(&mut self, bell: &Arc<Notify>) -> bool {
        let waiting = self.idle.iter().position(|other| Arc::ptr_eq(other, bell));
        match waiting {
            Some(at) => drop(self.idle.remove(at)),
            None if self.is_any_ready() => self.wake_worker(),
            None => {}
        }
        waiting.is_none()
    }

    pub(super) fn wake_worker(&mut self) {
        if let Some(bell) = self.idle.pop() {
            bell.notify_one();
        } else if self.workers + self.workers_wanted < self.limits.workers {
            self.workers_wanted += 1;
            self.foreman.notify_one();
        }
    }
}
