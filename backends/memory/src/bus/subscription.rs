//! [`MemorySubscription`], the receiving end of a [`MemoryBus`](super::MemoryBus).

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use chappe_core::backend::{Fetch, Signal, StopToken, Subscription};
use chappe_core::{Error, ErrorKind};

use super::line::{End, Line, Took};

/// A subscription to a topic of a [`MemoryBus`](super::MemoryBus). Dropping it unsubscribes.
///
/// What waits for it is bounded by its buffer. Once stopped, nothing more comes in, and what waits can
/// still be received.
pub struct MemorySubscription {
    line: Arc<Line>,
    stop: StopToken,
}

impl MemorySubscription {
    pub(super) fn new(line: Arc<Line>, stop: StopToken) -> Self {
        Self { line, stop }
    }

    fn unsubscribe(&self) {
        self.line.handle.hub().remove(&self.line, End::Stopped);
    }
}

impl Subscription for MemorySubscription {
    async fn recv(&mut self, max: usize, out: &mut Vec<Signal>) -> Result<Fetch, Error> {
        if max == 0 {
            return Ok(Fetch::More);
        }
        let mut stopped = pin!(self.stop.stopped());
        poll_fn(|cx| {
            if self.stop.is_stopped() {
                self.unsubscribe();
            }
            loop {
                match self.line.take(max, out, cx.waker()) {
                    Took::Some => return Poll::Ready(Ok(Fetch::More)),
                    Took::Ended(End::Stopped) => return Poll::Ready(Ok(Fetch::Stopped)),
                    Took::Ended(End::Disconnected) => {
                        let text = format!("subscriber of {} was too slow and is disconnected", self.line.topic);
                        return Poll::Ready(Err(Error::new(ErrorKind::Unavailable, text)));
                    }
                    Took::Nothing => {}
                }
                if stopped.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.unsubscribe();
            }
        })
        .await
    }
}

impl Drop for MemorySubscription {
    fn drop(&mut self) {
        self.unsubscribe();
    }
}

impl fmt::Debug for MemorySubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySubscription").field("topic", &self.line.topic).finish_non_exhaustive()
    }
}
