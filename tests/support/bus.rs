//! [`Bus`], a broadcast whose subscriptions receive what a test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use chappe::backend::{
    Backend, Broadcast, Fetch, Outgoing, PublishCapabilities, PublishResult, Publisher, Signal, Status, StopToken,
    SubscribeOptions, Subscription,
};
use chappe::{Error, ErrorKind, Message, Published};
use tokio::sync::Notify;

/// A bus with one subscriber at a time. Clones are the same bus.
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

struct Inner {
    status: Status,
    capabilities: PublishCapabilities,
    signals: Mutex<VecDeque<Result<Signal, Error>>>,
    subscribed: Mutex<usize>,
    news: Notify,
}

impl Bus {
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            status: Status::new(),
            capabilities: PublishCapabilities::new(),
            signals: Mutex::default(),
            subscribed: Mutex::default(),
            news: Notify::new(),
        }))
    }

    pub fn say(&self, body: &'static str) {
        self.signal(Ok(Signal::Message(Message::new(body))));
    }

    pub fn lag(&self, count: u64) {
        self.signal(Ok(Signal::Lagged(count)));
    }

    pub fn gap(&self) {
        self.signal(Ok(Signal::Gap));
    }

    /// Ends the subscription.
    pub fn fail(&self, kind: ErrorKind) {
        self.signal(Err(Error::new(kind, "subscription was made to fail")));
    }

    /// How often it was subscribed to.
    pub fn subscribed(&self) -> usize {
        *self.0.subscribed.lock().unwrap()
    }

    pub fn dropped(&self) -> u64 {
        self.0.status.stats().dropped
    }

    fn signal(&self, signal: Result<Signal, Error>) {
        self.0.signals.lock().unwrap().push_back(signal);
        self.0.news.notify_one();
    }
}

impl Backend for Bus {
    fn status(&self) -> &Status {
        &self.0.status
    }

    fn system(&self) -> &'static str {
        "bus"
    }

    fn destination(&self) -> &str {
        "bus"
    }
}

impl Publisher for Bus {
    fn publish_capabilities(&self) -> &PublishCapabilities {
        &self.0.capabilities
    }

    async fn publish(&self, batch: &mut [Outgoing]) -> Result<(), Error> {
        for entry in batch {
            self.signal(Ok(Signal::Message(std::mem::take(&mut entry.message))));
            entry.result = PublishResult::Accepted(Published::default());
        }
        Ok(())
    }
}

impl Broadcast for Bus {
    type Subscription = BusSubscription;

    async fn subscribe(&self, _topic: &str, options: SubscribeOptions) -> Result<BusSubscription, Error> {
        *self.0.subscribed.lock().unwrap() += 1;
        Ok(BusSubscription { bus: self.clone(), stop: options.stop })
    }
}

pub struct BusSubscription {
    bus: Bus,
    stop: StopToken,
}

impl Subscription for BusSubscription {
    async fn recv(&mut self, max: usize, out: &mut Vec<Signal>) -> Result<Fetch, Error> {
        loop {
            {
                let mut signals = self.bus.0.signals.lock().unwrap();
                while out.len() < max {
                    match signals.pop_front() {
                        Some(Ok(signal)) => out.push(signal),
                        Some(Err(error)) if out.is_empty() => return Err(error),
                        Some(Err(error)) => {
                            signals.push_front(Err(error));
                            break;
                        }
                        None => break,
                    }
                }
            }
            if !out.is_empty() {
                return Ok(Fetch::More);
            }
            tokio::select! {
                () = self.bus.0.news.notified() => {}
                () = self.stop.stopped() => return Ok(Fetch::Stopped),
            }
        }
    }
}
