//! How much work there is, and what counts it.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chappe::Message;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

/// The attribute every handler reads. The last of four, so that finding it takes a look at each.
pub const ATTRIBUTE: &str = "trace";

/// The names and values of every message.
pub const ATTRIBUTES: [(&str, &str); 4] = [
    ("type", "order.created"),
    ("tenant", "acme"),
    ("content-type", "application/json"),
    (ATTRIBUTE, "4bf92f3577b34da6"),
];

/// The bytes of every body.
pub const BODY: [u8; 256] = [b'x'; 256];

/// The message publishers clone. Clones share body and attributes, so building one is not what is measured.
#[must_use]
pub fn template() -> Message {
    let mut message = Message::new(Bytes::copy_from_slice(&BODY));
    for (name, value) in ATTRIBUTES {
        message.attributes_mut().append(name, value);
    }
    message
}

/// What one run does.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Messages in all.
    pub messages: u64,
    /// Tasks that publish them, each the same share.
    pub publishers: u64,
    /// Messages under way at most, for contenders that can say so.
    pub concurrency: usize,
}

impl Load {
    /// The messages each publisher sends.
    pub fn shares(self) -> impl Iterator<Item = u64> {
        let (each, rest) = (self.messages / self.publishers, self.messages % self.publishers);
        (0..self.publishers).map(move |publisher| each + u64::from(publisher < rest))
    }
}

/// The threads of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// Tokio's current-thread runtime.
    Current,
    /// Tokio's multi-thread runtime with that many workers.
    Workers(usize),
}

impl Threads {
    /// Builds the runtime.
    #[must_use]
    pub fn runtime(self) -> Runtime {
        match self {
            Self::Current => Builder::new_current_thread(),
            Self::Workers(workers) => {
                let mut builder = Builder::new_multi_thread();
                builder.worker_threads(workers);
                builder
            }
        }
        .enable_all()
        .build()
        .expect("a runtime can be built")
    }
}

/// What handlers write to: counts messages and tells when the last one was handled.
#[derive(Clone)]
pub struct Sink(Arc<Shared>);

struct Shared {
    expected: u64,
    handled: AtomicU64,
    started: Instant,
    nanos: AtomicU64,
    done: Notify,
}

impl Sink {
    /// A sink that expects all messages of a load, timed from now.
    #[must_use]
    pub fn new(load: Load) -> Self {
        Self(Arc::new(Shared {
            expected: load.messages,
            handled: AtomicU64::new(0),
            started: Instant::now(),
            nanos: AtomicU64::new(0),
            done: Notify::new(),
        }))
    }

    /// The work of a handler.
    pub fn take(&self, attribute: Option<&str>, body: &[u8]) {
        black_box((attribute.map_or(0, str::len), body[0]));
        if self.0.handled.fetch_add(1, Ordering::Relaxed) + 1 == self.0.expected {
            let nanos = self.0.started.elapsed().as_nanos();
            self.0.nanos.store(u64::try_from(nanos).expect("a run takes less than a century"), Ordering::Release);
            self.0.done.notify_one();
        }
    }

    /// Waits until the last message was handled.
    pub async fn done(&self) {
        self.0.done.notified().await;
        // For whoever else waits.
        self.0.done.notify_one();
    }

    /// How long it took from the start to the last message handled.
    ///
    /// # Panics
    ///
    /// If some message was not handled.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        assert_eq!(self.0.handled.load(Ordering::Relaxed), self.0.expected, "messages handled");
        Duration::from_nanos(self.0.nanos.load(Ordering::Acquire))
    }
}
