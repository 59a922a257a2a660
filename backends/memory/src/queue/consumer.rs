//! [`MemoryConsumer`], which fetches from a [`MemoryQueue`](super::MemoryQueue).

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use chappe_core::Error;
use chappe_core::backend::{Consumer, Delivery, Fetch, StopToken};
use tokio::time::{Instant, Sleep, sleep_until};

use super::MemoryReceipt;
use super::shared::{Seat, Shared, Taken};

/// Fetches from a [`MemoryQueue`](super::MemoryQueue). Any number may compete for its messages.
///
/// While there is nothing to fetch it waits for whichever comes first: a message, the next delay or lease
/// to end, or the stop. There is no task behind it. Dropped, what it fetched and did not settle comes back
/// when its leases end.
pub struct MemoryConsumer {
    shared: Arc<Shared>,
    stop: StopToken,
    /// Kept from one wait to the next: moving a timer to a later time is cheap, making one is not.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl MemoryConsumer {
    pub(super) fn new(shared: Arc<Shared>, stop: StopToken) -> Self {
        Self { shared, stop, sleep: None }
    }
}

impl Consumer for MemoryConsumer {
    type Receipt = MemoryReceipt;

    /// See [`Consumer::fetch`].
    ///
    /// Stops of its own accord when the queue is [shut](super::MemoryQueue::shut) and empty.
    ///
    /// # Errors
    ///
    /// None but injected [faults](super::QueueFaults).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when this is dropped while it waits.
    async fn fetch(&mut self, max: usize, out: &mut Vec<Delivery<MemoryReceipt>>) -> Result<Fetch, Error> {
        if max == 0 {
            return Ok(Fetch::More);
        }
        let Self { shared, stop, sleep } = self;
        let mut stopped = pin!(stop.stopped());
        let mut waiting = Waiting { shared, seat: Seat::default() };
        let mut first = true;
        poll_fn(|cx| {
            loop {
                if stop.is_stopped() {
                    return Poll::Ready(Ok(Fetch::Stopped));
                }
                if let Some(error) = shared.faults.on_fetch(&shared.name, std::mem::take(&mut first)) {
                    return Poll::Ready(Err(error));
                }
                let due = match shared.take(&mut waiting.seat, cx.waker(), max, out) {
                    Taken::Some => return Poll::Ready(Ok(Fetch::More)),
                    Taken::Closed => return Poll::Ready(Ok(Fetch::Stopped)),
                    Taken::Nothing(due) => due,
                };
                if stopped.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Ok(Fetch::Stopped));
                }
                if !due.is_some_and(|due| poll_sleep(sleep, due, cx).is_ready()) {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

impl fmt::Debug for MemoryConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryConsumer").field("queue", &self.shared.name).finish_non_exhaustive()
    }
}

/// A fetch that may be waiting, and gives up its seat when it ends.
struct Waiting<'a> {
    shared: &'a Shared,
    seat: Seat,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.leave(&mut self.seat);
    }
}

fn poll_sleep(sleep: &mut Option<Pin<Box<Sleep>>>, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
    let sleep = sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
    if sleep.deadline() != due || sleep.is_elapsed() {
        sleep.as_mut().reset(due);
    }
    sleep.as_mut().poll(cx)
}
