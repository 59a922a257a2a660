//! [`PgSubscription`], the receiving end of a [`PgBus`](super::PgBus).

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use chappe_core::backend::{Fetch, Signal, StopToken, Subscription};
use chappe_core::{Error, ErrorKind};

use super::handle::Handle;
use super::line::{End, Line, Took};

/// A subscription to a topic of a [`PgBus`](super::PgBus). Dropping it unsubscribes, and the channel of the
/// topic is not listened to any more when it was the last of the handle.
///
/// What waits for it is bounded by its buffer, and never holds up the connection. Once stopped, nothing more
/// comes in, and what waits can still be received.
pub struct PgSubscription {
    handle: Arc<Handle>,
    line: Arc<Line>,
    stop: StopToken,
}

impl PgSubscription {
    pub(super) fn new(handle: Arc<Handle>, line: Arc<Line>, stop: StopToken) -> Self {
        Self { handle, line, stop }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.line.topic
    }

    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    fn unsubscribe(&self) {
        self.handle.hub().remove(&self.line);
    }
}

impl Subscription for PgSubscription {
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
                        self.unsubscribe();
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

impl Drop for PgSubscription {
    fn drop(&mut self) {
        self.unsubscribe();
    }
}

impl fmt::Debug for PgSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgSubscription").field("topic", &self.line.topic).finish_non_exhaustive()
    }
}
