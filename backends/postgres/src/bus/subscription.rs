//! [`PgSubscription`], the receiving end of a [`PgBus`](super::PgBus).

use std::fmt;
use std::sync::Arc;

use chappe_core::Error;
use chappe_core::backend::{Fetch, Signal, StopToken, Subscription};
use chappe_core::bus::Line;

use super::handle::Handle;

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
        self.line.recv(max, out, &self.stop, || self.unsubscribe()).await
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
