//! [`Reservation`], the key of a message that is being handled.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

use chappe_core::Lease;
use tokio::time::{Instant, sleep};

use super::{DedupStore, Token};

/// How often a confirmation is tried before the message is acknowledged without.
const CONFIRM_TRIES: u32 = 3;
const CONFIRM_PAUSE: Duration = Duration::from_millis(100);

/// A key that is reserved. Dropped before it is confirmed or released, it is abandoned.
pub(super) struct Reservation<D: DedupStore> {
    store: D,
    key: String,
    token: Token,
    time: Duration,
    lease: Option<Lease>,
    settled: bool,
}

impl<D: DedupStore> Reservation<D> {
    pub(super) fn new(store: D, key: String, token: Token, time: Duration, lease: Option<Lease>) -> Self {
        Self { store, key, token, time, lease, settled: false }
    }

    /// How long a reservation lasts: no longer than the broker keeps the message from others, so that it does
    /// not stand in the way of the redelivery when this process dies.
    pub(super) fn time(lease: Option<&Lease>, time: Duration) -> Duration {
        let left = lease.and_then(Lease::deadline).map(|deadline| deadline.duration_since(Instant::now()));
        left.filter(|left| !left.is_zero()).unwrap_or(time)
    }

    /// Runs `handling` to its end, and renews the reservation meanwhile.
    pub(super) async fn keep_during<F: Future>(&self, handling: F) -> F::Output {
        let mut handling = pin!(handling);
        let mut renewing = pin!(self.keep_renewing());
        let mut lost = false;
        poll_fn(|cx| {
            let output = handling.as_mut().poll(cx);
            if output.is_pending() && !lost {
                lost = renewing.as_mut().poll(cx).is_ready();
            }
            output
        })
        .await
    }

    /// Renews until the reservation is lost.
    async fn keep_renewing(&self) {
        loop {
            sleep(Self::time(self.lease.as_ref(), self.time) / 2).await;
            let time = Self::time(self.lease.as_ref(), self.time);
            match self.store.renew(&self.key, self.token, time.max(Duration::from_secs(1))).await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(target: "chappe::dedup", key = self.key, "reservation is lost, message may be handled twice");
                    return;
                }
                Err(error) => {
                    tracing::warn!(target: "chappe::dedup", key = self.key, %error, "reservation could not be renewed");
                }
            }
        }
    }

    pub(super) async fn confirm(mut self) {
        for attempt in 1..=CONFIRM_TRIES {
            match self.store.confirm(&self.key, self.token).await {
                Ok(()) => break,
                Err(error) if attempt == CONFIRM_TRIES => {
                    tracing::warn!(target: "chappe::dedup", key = self.key, %error, "key could not be confirmed, a duplicate will be handled");
                }
                Err(_) => sleep(CONFIRM_PAUSE * attempt).await,
            }
        }
        // The work is done: abandoning the key now would only make a duplicate come sooner.
        self.settled = true;
    }

    pub(super) async fn release(mut self) {
        match self.store.release(&self.key, self.token).await {
            Ok(()) => self.settled = true,
            Err(error) => {
                tracing::warn!(target: "chappe::dedup", key = self.key, %error, "reservation could not be released, it ends with its time");
            }
        }
    }
}

impl<D: DedupStore> Drop for Reservation<D> {
    fn drop(&mut self) {
        if !self.settled {
            self.store.abandon(&self.key, self.token);
        }
    }
}
