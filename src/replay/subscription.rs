//! [`ReplaySubscription`], the receiving end of a [`Replay`](super::Replay).

use std::fmt;
use std::sync::{Arc, PoisonError};

use chappe_core::Error;
use chappe_core::backend::{Fetch, Signal, StopToken, Subscription};
use tokio::sync::watch;

use super::Inner;

/// A subscriber's place in a [`Replay`](super::Replay), as a [`Subscription`].
///
/// It has no buffer of its own: what it has not received yet is in the replay, and what the replay has forgotten
/// by then it is told as [`Signal::Lagged`]. It ends, with [`Fetch::Stopped`], when the bus is closed or fails for good.
pub struct ReplaySubscription {
    replay: Arc<Inner>,
    more: watch::Receiver<()>,
    stop: StopToken,
    at: u64,
    gap: bool,
}

impl ReplaySubscription {
    pub(super) fn new(replay: Arc<Inner>, at: u64, gap: bool) -> Self {
        let more = replay.more.clone();
        Self { replay, more, stop: StopToken::never(), at, gap }
    }

    /// Ends the subscription when `stop` says so.
    #[must_use]
    pub fn until(mut self, stop: StopToken) -> Self {
        self.stop = stop;
        self
    }
}

impl Subscription for ReplaySubscription {
    async fn recv(&mut self, max: usize, out: &mut Vec<Signal>) -> Result<Fetch, Error> {
        let before = out.len();
        if max == 0 {
            return Ok(Fetch::More);
        }
        loop {
            // Before looking, so that what comes meanwhile is a change.
            let ended = self.stop.is_stopped() || self.more.has_changed().is_err();
            self.more.mark_unchanged();
            if std::mem::take(&mut self.gap) {
                out.push(Signal::Gap);
            }
            let room = max - (out.len() - before);
            self.at = self.replay.ring.lock().unwrap_or_else(PoisonError::into_inner).copy(self.at, room, out);
            if out.len() > before {
                return Ok(Fetch::More);
            }
            if ended {
                return Ok(Fetch::Stopped);
            }
            // Whichever it is, once more for what came last.
            tokio::select! {
                _ = self.more.changed() => {}
                () = self.stop.stopped() => {}
            }
        }
    }
}

impl fmt::Debug for ReplaySubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplaySubscription").field("topic", &self.replay.topic).finish_non_exhaustive()
    }
}
