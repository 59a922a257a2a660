//! [`Place`], a publisher's place in the line for room.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use chappe_core::{Error, Message, Published};

use super::gate::Entry;
use super::shared::{Admitted, Shared};

/// A place in the line for room: for a message, or for word that there is some. Dropped, it is given up,
/// and so is room that was granted to it.
pub(super) struct Place {
    shared: Arc<Shared>,
    ticket: u64,
    bytes: Option<usize>,
    held: bool,
}

impl Place {
    pub(super) fn new(shared: &Arc<Shared>, bytes: Option<usize>) -> Self {
        Self { shared: Arc::clone(shared), ticket: 0, bytes, held: false }
    }

    /// Waits for word that there is room.
    pub(super) fn poll_word(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let cut = self.shared.faults.reachable(&self.shared.name).is_err();
        let mut gate = self.shared.gate();
        let over = cut || gate.is_shut();
        if self.held && !over && gate.still_waits(self.ticket, cx.waker()) {
            return Poll::Pending;
        }
        // Word has come, or there is no use in waiting: a call will tell which.
        if self.held || over || !gate.is_full() {
            drop(gate);
            self.leave();
            return Poll::Ready(());
        }
        self.ticket = gate.line_up(None, cx.waker().clone());
        self.held = true;
        self.shared.note(&gate);
        Poll::Pending
    }

    /// Waits for room and then has the message in `slot` taken in.
    pub(super) fn poll_admit(
        &mut self,
        slot: &mut Option<Message>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Published, Error>> {
        let Some(message) = slot.take() else { return Poll::Pending };
        if let Err(error) = self.shared.faults.reachable(&self.shared.name) {
            return Poll::Ready(Err(error));
        }
        let entry = {
            let mut gate = self.shared.gate();
            if !self.held {
                Entry::Asked
            } else if gate.still_waits(self.ticket, cx.waker()) && !gate.is_shut() {
                *slot = Some(message);
                return Poll::Pending;
            } else if gate.is_shut() {
                return Poll::Ready(Err(self.shared.closed()));
            } else {
                Entry::Granted
            }
        };
        // Between the two locks nobody else can use what was granted; what was not may be gone.
        match self.shared.admit(message, entry) {
            Admitted::Done(result) => {
                // Of a duplicate the room is left over, and `leave` gives it back.
                let used = entry == Entry::Granted && matches!(&result, Ok(published) if !published.duplicate);
                if used {
                    self.held = false;
                }
                Poll::Ready(result)
            }
            Admitted::Full(message) => {
                let mut gate = self.shared.gate();
                self.ticket = gate.line_up(self.bytes.or(Some(0)), cx.waker().clone());
                self.held = true;
                let mut woken = Vec::new();
                // Room may have come free between the locks.
                gate.free(0, 0, &mut woken);
                self.shared.note(&gate);
                drop(gate);
                *slot = Some(message);
                woken.into_iter().for_each(Waker::wake);
                Poll::Pending
            }
        }
    }

    /// As [`poll_admit`](Self::poll_admit), for a message that is put back while it waits.
    pub(super) fn poll_admit_from(
        &mut self,
        message: &mut Message,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Published, Error>> {
        let mut slot = Some(std::mem::take(message));
        let result = self.poll_admit(&mut slot, cx);
        if let Some(waits) = slot {
            *message = waits;
        }
        result
    }

    fn leave(&mut self) {
        if !std::mem::take(&mut self.held) {
            return;
        }
        let mut woken = Vec::new();
        let mut gate = self.shared.gate();
        gate.leave(self.ticket, self.bytes, &mut woken);
        self.shared.note(&gate);
        drop(gate);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}
