//! A publisher that does what a test tells it to.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "only tests call it")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe_core::backend::{Backend, Outgoing, PublishCapabilities, PublishResult, Publisher, Status};
use chappe_core::{Error, ErrorKind, Message, MessageId, Published};
use tokio::time::{Instant, sleep};

type Step = Box<dyn FnOnce(&mut [Outgoing]) -> Result<(), Error> + Send>;

/// Accepts everything with the body as the id, unless a step of its script says otherwise. Clones share
/// everything.
#[derive(Clone)]
pub(crate) struct Scripted(Arc<Inner>);

struct Inner {
    status: Status,
    capabilities: PublishCapabilities,
    latency: Duration,
    script: Mutex<VecDeque<Step>>,
    calls: Mutex<Vec<(Instant, Vec<String>)>>,
    running: AtomicUsize,
    most_running: AtomicUsize,
}

impl Scripted {
    pub(crate) fn new() -> Self {
        Self::with(Duration::ZERO, |_| {})
    }

    /// Takes `latency` for each call, and batches of up to 10 unless `change` says otherwise.
    pub(crate) fn with(latency: Duration, change: impl FnOnce(&mut PublishCapabilities)) -> Self {
        let mut capabilities = PublishCapabilities::new();
        capabilities.max_batch = 10;
        change(&mut capabilities);
        Self(Arc::new(Inner {
            status: Status::new(),
            capabilities,
            latency,
            script: Mutex::default(),
            calls: Mutex::default(),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
        }))
    }

    /// What the next call does that has no step yet.
    pub(crate) fn then(&self, step: impl FnOnce(&mut [Outgoing]) -> Result<(), Error> + Send + 'static) -> &Self {
        self.0.script.lock().unwrap().push_back(Box::new(step));
        self
    }

    /// The bodies each call was given, in order.
    pub(crate) fn calls(&self) -> Vec<Vec<String>> {
        self.0.calls.lock().unwrap().iter().map(|(_, bodies)| bodies.clone()).collect()
    }

    /// When each call was made.
    pub(crate) fn times(&self) -> Vec<Instant> {
        self.0.calls.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }

    /// The most calls that were under way at once.
    pub(crate) fn most_running(&self) -> usize {
        self.0.most_running.load(Ordering::SeqCst)
    }
}

impl Backend for Scripted {
    fn status(&self) -> &Status {
        &self.0.status
    }

    fn system(&self) -> &'static str {
        "scripted"
    }

    fn destination(&self) -> &str {
        "test"
    }
}

impl Publisher for Scripted {
    fn publish_capabilities(&self) -> &PublishCapabilities {
        &self.0.capabilities
    }

    async fn publish(&self, batch: &mut [Outgoing]) -> Result<(), Error> {
        let running = Running::new(&self.0);
        let bodies = batch.iter().map(|outgoing| body(&outgoing.message)).collect();
        self.0.calls.lock().unwrap().push((Instant::now(), bodies));
        if !self.0.latency.is_zero() {
            sleep(self.0.latency).await;
        }
        drop(running);
        let step = self.0.script.lock().unwrap().pop_front();
        match step {
            Some(step) => step(batch),
            None => accept(batch),
        }
    }
}

struct Running<'a>(&'a Inner);

impl<'a> Running<'a> {
    fn new(inner: &'a Inner) -> Self {
        let running = inner.running.fetch_add(1, Ordering::SeqCst) + 1;
        inner.most_running.fetch_max(running, Ordering::SeqCst);
        Self(inner)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Accepts what has no result yet, with the body as the id.
pub(crate) fn accept(batch: &mut [Outgoing]) -> Result<(), Error> {
    for outgoing in batch.iter_mut().filter(|outgoing| outgoing.result.is_pending()) {
        outgoing.result = PublishResult::Accepted(receipt(&body(&outgoing.message)));
    }
    Ok(())
}

/// The receipt [`accept`] gives for a body.
pub(crate) fn receipt(body: &str) -> Published {
    Published::new(Some(MessageId::from(body.to_owned())))
}

pub(crate) fn body(message: &Message) -> String {
    String::from_utf8(message.body().to_vec()).unwrap()
}

pub(crate) fn keyed(body: &'static str, key: &'static str) -> Message {
    let mut message = Message::new(body);
    message.set_key(key);
    message
}

/// A fault that passes.
pub(crate) fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "broker cannot be reached")
}

/// A fault that stays.
pub(crate) fn denied() -> Error {
    Error::new(ErrorKind::PermissionDenied, "publishing is not allowed")
}
