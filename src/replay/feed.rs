//! [`Feed`], the task that keeps a replay up to date.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chappe_core::backend::{Broadcast, Fetch, Signal, StopToken, SubscribeOptions, Subscription};
use chappe_core::{Backoff, Error};
use tokio::sync::watch;
use tokio::time::sleep;

use super::ring::Ring;

/// How many signals are taken from the bus at a time.
const BATCH: usize = 256;

/// How long after a failure the bus is subscribed to again.
const BACKOFF: Backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(10));

pub(super) struct Feed<B> {
    pub(super) bus: B,
    pub(super) topic: Box<str>,
    pub(super) options: SubscribeOptions,
    pub(super) stop: StopToken,
    pub(super) ring: Arc<Mutex<Ring>>,
    pub(super) more: watch::Sender<()>,
}

impl<B: Broadcast> Feed<B> {
    pub(super) async fn subscribe(&self) -> Result<B::Subscription, Error> {
        self.bus.subscribe(&self.topic, self.options.clone()).await
    }

    /// Ends when the bus is closed, the replay is dropped, or the bus fails for good.
    pub(super) async fn run(self, mut subscription: B::Subscription) {
        let mut signals = Vec::new();
        loop {
            let received = subscription.recv(BATCH, &mut signals).await;
            self.keep(&mut signals);
            match received {
                Ok(Fetch::Stopped) => return,
                Ok(_) => {}
                Err(error) => match self.again(error).await {
                    Some(anew) => subscription = anew,
                    None => return,
                },
            }
        }
    }

    /// A new subscription in place of one that failed; `None` when there is to be none.
    async fn again(&self, mut error: Error) -> Option<B::Subscription> {
        for attempt in 1.. {
            if !error.is_retryable() {
                tracing::error!(topic = %self.topic, %error, "a replay gets no more messages");
                return None;
            }
            tracing::warn!(topic = %self.topic, %error, "a replay lost its subscription and subscribes anew");
            tokio::select! {
                () = sleep(BACKOFF.delay(attempt)) => {}
                () = self.stop.stopped() => return None,
            }
            match self.subscribe().await {
                Ok(subscription) => {
                    self.keep(&mut vec![Signal::Gap]);
                    return Some(subscription);
                }
                Err(again) => error = again,
            }
        }
        None
    }

    fn keep(&self, signals: &mut Vec<Signal>) {
        if signals.is_empty() {
            return;
        }
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        signals.drain(..).for_each(|signal| ring.push(signal));
        drop(ring);
        self.more.send_replace(());
    }
}
