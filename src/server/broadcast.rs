//! [`Subscribed`], which lets a server serve a broadcast.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use chappe_core::backend::{
    Action, Backend, Broadcast, Capabilities, ConsumeOptions, Consumer, Delivery, Fetch, Queue, SettleResult,
    Settlement, Signal, Status, StopToken, SubscribeOptions, Subscription,
};
use chappe_core::{Error, Message};
use tokio::sync::Notify;

/// The most messages taken from a subscription at a time.
const MAX_FETCH: usize = 256;

/// A subscription to a topic of a [`Broadcast`], as a queue that a [`Server`](super::Server) serves.
///
/// A broadcast has nobody to give a message back to, so this process does what a broker would:
///
/// - A message whose handler fails is kept here and handled again after the server's backoff.
/// - It is so for ever, unless messages that fail for good are given up by
///   [`discard_failed`](Self::discard_failed).
/// - What is still here when the server has shut down is gone, and counted as
///   [dropped](chappe_core::backend::Stats::dropped).
pub struct Subscribed<B: Broadcast>(Arc<Inner<B>>);

struct Inner<B> {
    bus: B,
    topic: Box<str>,
    options: SubscribeOptions,
    capabilities: Capabilities,
    on_missed: Option<Box<dyn Fn(Option<u64>) + Send + Sync>>,
    /// Messages that came back, for the next fetch.
    again: Mutex<VecDeque<Message>>,
    bell: Notify,
}

impl<B: Broadcast> Subscribed<B> {
    /// Subscribes to `topic` of `bus` when served. The stop token of `options` is the server's.
    pub fn new(bus: B, topic: impl Into<String>, options: SubscribeOptions) -> Self {
        let mut capabilities = Capabilities::new();
        capabilities.max_fetch = MAX_FETCH;
        capabilities.max_settle_batch = usize::MAX;
        capabilities.retry_needs_message = true;
        Self(Arc::new(Inner {
            bus,
            topic: topic.into().into(),
            options,
            capabilities,
            on_missed: None,
            again: Mutex::default(),
            bell: Notify::new(),
        }))
    }

    /// Gives up messages that are rejected or have used up their attempts: they are logged, counted as
    /// dropped, and gone.
    #[must_use]
    pub fn discard_failed(self) -> Self {
        self.change(|inner| inner.capabilities.dead_letter = true)
    }

    /// Has `callback` called when messages were missed: with their number where the bus knows it, as when
    /// this subscriber was too slow, and with `None` after a lost connection.
    #[must_use]
    pub fn on_missed(self, callback: impl Fn(Option<u64>) + Send + Sync + 'static) -> Self {
        self.change(|inner| inner.on_missed = Some(Box::new(callback)))
    }

    fn change(mut self, change: impl FnOnce(&mut Inner<B>)) -> Self {
        change(Arc::get_mut(&mut self.0).expect("no consumer shares it before it is served"));
        self
    }
}

impl<B: Broadcast> Backend for Subscribed<B> {
    fn status(&self) -> &Status {
        self.0.bus.status()
    }

    fn system(&self) -> &'static str {
        self.0.bus.system()
    }

    fn destination(&self) -> &str {
        &self.0.topic
    }
}

impl<B: Broadcast> Queue for Subscribed<B> {
    type Receipt = ();
    type Consumer = SubscribedConsumer<B>;

    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn consume(&self, options: ConsumeOptions) -> Result<Self::Consumer, Error> {
        let mut consumer = SubscribedConsumer {
            inner: Arc::clone(&self.0),
            stop: options.stop,
            subscription: None,
            signals: Vec::new(),
        };
        consumer.subscription().await?;
        Ok(consumer)
    }

    async fn settle(&self, batch: &mut [Settlement<()>]) -> Result<(), Error> {
        let mut dropped = 0;
        for settlement in batch {
            match (&settlement.action, settlement.message.take()) {
                (Action::Retry { .. }, Some(mut message)) => {
                    let attempt = message.attempt().max(1) + 1;
                    message.set_attempt(attempt);
                    self.0.again.lock().unwrap_or_else(PoisonError::into_inner).push_back(*message);
                    self.0.bell.notify_one();
                }
                (Action::DeadLetter { reason }, _) => {
                    tracing::warn!(%reason, topic = self.destination(), "message is discarded");
                    dropped += 1;
                }
                (Action::Release | Action::Retry { .. }, _) => dropped += 1,
                _ => {}
            }
            settlement.result = SettleResult::Done;
        }
        self.0.bus.status().count_dropped(dropped);
        Ok(())
    }

    async fn close(&self) -> Result<(), Error> {
        let left = std::mem::take(&mut *self.0.again.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.bus.status().count_dropped(left.len() as u64);
        Ok(())
    }
}

impl<B: Broadcast + fmt::Debug> fmt::Debug for Subscribed<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribed").field("bus", &self.0.bus).field("topic", &self.0.topic).finish_non_exhaustive()
    }
}

/// Fetches what a [`Subscribed`] receives.
pub struct SubscribedConsumer<B: Broadcast> {
    inner: Arc<Inner<B>>,
    stop: StopToken,
    /// `None` after it was disconnected, until it is subscribed anew.
    subscription: Option<B::Subscription>,
    signals: Vec<Signal>,
}

impl<B: Broadcast> SubscribedConsumer<B> {
    async fn subscription(&mut self) -> Result<&mut B::Subscription, Error> {
        if self.subscription.is_none() {
            let options = self.inner.options.clone().stop(self.stop.clone());
            self.subscription = Some(self.inner.bus.subscribe(&self.inner.topic, options).await?);
        }
        Ok(self.subscription.as_mut().expect("it was just set"))
    }

    fn missed(&self, count: Option<u64>) {
        tracing::warn!(topic = %self.inner.topic, count, "messages were missed");
        if let Some(on_missed) = &self.inner.on_missed {
            on_missed(count);
        }
    }

    fn take_again(&self, max: usize, out: &mut Vec<Delivery<()>>) -> bool {
        let mut again = self.inner.again.lock().unwrap_or_else(PoisonError::into_inner);
        let count = again.len().min(max);
        out.extend(again.drain(..count).map(|message| Delivery::new(message, ())));
        count > 0
    }
}

impl<B: Broadcast> Consumer for SubscribedConsumer<B> {
    type Receipt = ();

    async fn fetch(&mut self, max: usize, out: &mut Vec<Delivery<()>>) -> Result<Fetch, Error> {
        if self.take_again(max, out) {
            return Ok(Fetch::More);
        }
        let inner = Arc::clone(&self.inner);
        let mut signals = std::mem::take(&mut self.signals);
        let subscription = self.subscription().await?;
        let received = tokio::select! {
            received = subscription.recv(max, &mut signals) => received,
            () = inner.bell.notified() => Ok(Fetch::More),
        };
        for signal in signals.drain(..) {
            match signal {
                Signal::Message(message) => out.push(Delivery::new(message, ())),
                Signal::Lagged(count) => self.missed(Some(count)),
                // A gap, and whatever else may be added that says that something is missing.
                _ => self.missed(None),
            }
        }
        self.signals = signals;
        if let Err(error) = &received {
            if error.is_retryable() {
                self.subscription = None;
                self.missed(None);
            }
        }
        received
    }
}

impl<B: Broadcast> fmt::Debug for SubscribedConsumer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscribedConsumer").field("topic", &self.inner.topic).finish_non_exhaustive()
    }
}
