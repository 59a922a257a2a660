//! [`SettleQueue`], what waits for a settler.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::call::{Again, Call};
use super::due::{Dues, Ticket};

/// What waits for a settler.
pub(in crate::server) struct SettleQueue<R> {
    waiting: Mutex<Waiting<R>>,
    pub(super) bell: Notify,
}

/// What waits for a settler.
pub(super) struct Waiting<R> {
    /// For the next call.
    pub(super) dues: Dues<R>,
    /// Calls that were begun elsewhere and did not end at once.
    pub(super) calls: Vec<(Call<R>, Vec<Ticket>)>,
    /// For another try.
    pub(super) again: Again<R>,
    closing: bool,
}

impl<R> SettleQueue<R> {
    pub(in crate::server) fn new() -> Self {
        let waiting = Waiting { dues: Dues::default(), calls: Vec::new(), again: Again::new(), closing: false };
        Self { waiting: Mutex::new(waiting), bell: Notify::new() }
    }

    /// Adds settlements, and leaves `dues` empty. Their number is bounded by the schedule, which lets
    /// nothing be fetched while too many are under way.
    pub(in crate::server) fn push(&self, dues: &mut Dues<R>) {
        if dues.is_empty() {
            return;
        }
        let mut waiting = self.waiting();
        let was_empty = waiting.dues.is_empty();
        waiting.dues.append(dues);
        drop(waiting);
        if was_empty {
            self.bell.notify_one();
        }
    }

    /// Has a call that was begun go on.
    pub(super) fn go_on(&self, call: Call<R>, tickets: Vec<Ticket>) {
        self.waiting().calls.push((call, tickets));
        self.bell.notify_one();
    }

    /// Has settlements told again in their time.
    pub(super) fn tell_again(&self, mut again: Again<R>) {
        if !again.is_empty() {
            self.waiting().again.append(&mut again);
            self.bell.notify_one();
        }
    }

    /// Nothing more will come: the settler ends when all is settled.
    pub(in crate::server) fn close(&self) {
        self.waiting().closing = true;
        self.bell.notify_one();
    }

    /// Moves what waits to the settler, and says whether that was the last.
    pub(super) fn collect(
        &self,
        ready: &mut Dues<R>,
        again: &mut Again<R>,
        calls: &mut Vec<(Call<R>, Vec<Ticket>)>,
    ) -> bool {
        let mut waiting = self.waiting();
        ready.append(&mut waiting.dues);
        again.append(&mut waiting.again);
        calls.append(&mut waiting.calls);
        waiting.closing
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<R>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
