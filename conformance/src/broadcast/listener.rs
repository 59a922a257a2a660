//! [`BusBench`] and [`Listener`], what a bus case works with.

use std::time::Duration;

use chappe_core::backend::{
    Broadcast, Fetch, Outgoing, PublishResult, Signal, StopSource, SubscribeOptions, Subscription,
};
use chappe_core::{Error, Message};
use tokio::time::{Instant, timeout_at};

use super::{BroadcastHarness, BusFixture};
use crate::case::{Stop, supported};
use crate::harness::Timing;
use crate::rig::fresh_name;

/// The harness, as a case is given it.
pub(crate) struct BusBench<'a, H>(pub(crate) &'a H);

impl<H: BroadcastHarness> BusBench<'_, H> {
    pub(super) async fn open(&self) -> Result<Bus<H>, Stop> {
        let topic = fresh_name();
        let fixture = supported(self.0.bus(&topic).await)?;
        let handle = (fixture.open)().await?;
        Ok(Bus { handle, topic, timing: self.0.timing(), fixture })
    }
}

/// A bus under test.
pub(super) struct Bus<H: BroadcastHarness> {
    pub(super) handle: H::Bus,
    pub(super) topic: String,
    pub(super) timing: Timing,
    pub(super) fixture: BusFixture<H::Bus>,
}

impl<H: BroadcastHarness> Bus<H> {
    pub(super) async fn another(&self) -> Result<H::Bus, Stop> {
        Ok((self.fixture.open)().await?)
    }

    pub(super) async fn listen(&self) -> Result<Listener<H::Bus>, Stop> {
        self.listen_with(&self.handle, SubscribeOptions::new()).await
    }

    /// Subscribes; skips the case where the bus refuses an option.
    pub(super) async fn listen_with(&self, bus: &H::Bus, options: SubscribeOptions) -> Result<Listener<H::Bus>, Stop> {
        let stop = StopSource::new();
        let subscription = supported(bus.subscribe(&self.topic, options.stop(stop.token())).await)?;
        let (patience, silence) = (self.timing.patience, self.timing.silence);
        Ok(Listener { subscription, stop, patience, silence })
    }

    pub(super) async fn publish(&self, message: impl Into<Message>) {
        let published = publish(&self.handle, message.into()).await;
        published.unwrap_or_else(|error| panic!("publishing failed: {error:?}"));
    }

    pub(super) async fn publish_numbers(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.publish(number.to_string()).await;
        }
    }
}

/// Publishes one message through a handle.
pub(super) async fn publish<B: Broadcast>(bus: &B, message: Message) -> Result<(), Error> {
    let mut batch = [Outgoing::new(message)];
    bus.publish(&mut batch).await?;
    let [outgoing] = batch;
    match outgoing.result {
        PublishResult::Accepted(_) => Ok(()),
        PublishResult::Failed(error) => Err(error),
        other => panic!("publish answered Ok and left a message {other:?}"),
    }
}

/// A subscription that is waited for with a limit, which also shows that dropping `recv` loses nothing.
pub(super) struct Listener<B: Broadcast> {
    subscription: B::Subscription,
    stop: StopSource,
    patience: Duration,
    silence: Duration,
}

impl<B: Broadcast> Listener<B> {
    /// The next signals, which must come.
    pub(super) async fn signals(&mut self, count: usize) -> Vec<Signal> {
        let patience = self.patience;
        let signals = self.up_to(count, patience).await;
        assert_eq!(signals.len(), count, "only these came within {patience:?}: {signals:?}");
        signals
    }

    /// The bodies of the next messages, which must come.
    pub(super) async fn bodies(&mut self, count: usize) -> Vec<String> {
        self.signals(count).await.iter().map(|signal| text(message(signal))).collect()
    }

    pub(super) async fn silent(&mut self) {
        let silence = self.silence;
        let signals = self.up_to(1, silence).await;
        assert!(signals.is_empty(), "came when nothing should: {signals:?}");
    }

    /// At most so many signals, as many as come within a time or before the end.
    pub(super) async fn up_to(&mut self, count: usize, within: Duration) -> Vec<Signal> {
        let until = Instant::now() + within;
        let mut signals = Vec::new();
        while signals.len() < count {
            let (before, wanted) = (signals.len(), count - signals.len());
            match timeout_at(until, self.subscription.recv(wanted, &mut signals)).await {
                Ok(Ok(Fetch::Stopped) | Err(_)) | Err(_) => break,
                Ok(Ok(_)) => assert!(signals.len() - before <= wanted, "recv returned more than {wanted} signals"),
            }
        }
        signals
    }

    /// How the subscription ends, with everything that came before.
    pub(super) async fn end(&mut self) -> (Vec<Signal>, Result<(), Error>) {
        let until = Instant::now() + self.patience;
        let mut signals = Vec::new();
        loop {
            match timeout_at(until, self.subscription.recv(16, &mut signals)).await {
                Ok(Ok(Fetch::Stopped)) => return (signals, Ok(())),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return (signals, Err(error)),
                Err(_) => panic!("the subscription did not end; received {signals:?}"),
            }
        }
    }

    pub(super) fn stop(&self) {
        self.stop.stop();
    }
}

/// The message of a signal that must be one.
#[track_caller]
pub(super) fn message(signal: &Signal) -> &Message {
    match signal {
        Signal::Message(message) => message,
        other => panic!("expected a message, received {other:?}"),
    }
}

pub(super) fn text(message: &Message) -> String {
    String::from_utf8(message.body().to_vec()).expect("the suite's bodies are text")
}
