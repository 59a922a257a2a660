//! [`Replay`], the last messages of a broadcast, for subscribers that come back.
//!
//! A bus forgets what it has handed out, and browsers, phones and restarted processes ask for what they missed:
//! server-sent events do so by `Last-Event-ID`. A `Replay` subscribes to a topic once, keeps its last messages
//! here, and hands them to any number of subscribers, from wherever each left off.
//!
//! ```
//! use chappe::backend::{Signal, Subscription};
//! use chappe::memory::MemoryBus;
//! use chappe::replay::{Replay, ReplayOptions};
//! use chappe::{Message, Topic};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), chappe::BoxError> {
//! let bus = MemoryBus::new("prices");
//! let replay = Replay::start(bus.clone(), "prices", ReplayOptions::new()).await?;
//! let mut live = replay.subscribe();
//! let mut signals = Vec::new();
//! for (id, price) in [("1", "EUR 1.07"), ("2", "EUR 1.08")] {
//!     let mut message = Message::new(price);
//!     message.set_id(id); // what a subscriber says when it comes back
//!     bus.topic("prices").publish(message).await?;
//!     live.recv(1, &mut signals).await?;
//! }
//!
//! let mut back = replay.subscribe_after("1");
//! signals.clear();
//! back.recv(10, &mut signals).await?;
//! assert!(matches!(&signals[..], [Signal::Message(message)] if message.body() == "EUR 1.08"));
//! # Ok(()) }
//! ```

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chappe_core::Error;
use chappe_core::backend::{Broadcast, StopSource, SubscribeOptions};
use tokio::sync::watch;

mod feed;
mod ring;
mod subscription;

pub use subscription::ReplaySubscription;

use ring::Ring;

/// The last messages of a topic, and what hands them out. A handle; clones share the messages.
///
/// When the last handle and the last [subscription](ReplaySubscription) are dropped it unsubscribes from the
/// bus. A connection the bus loses is made again for as long as that may succeed, with a
/// [`Gap`](chappe_core::backend::Signal::Gap) where messages may be missing.
#[derive(Clone)]
pub struct Replay(Arc<Inner>);

struct Inner {
    topic: Box<str>,
    ring: Arc<Mutex<Ring>>,
    /// Changes when there is more, and is gone when nothing more will come.
    more: watch::Receiver<()>,
    stop: StopSource,
}

impl Replay {
    /// Subscribes to `topic`, and keeps what is published from the time this resolves.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::subscribe`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropped, nothing is subscribed.
    pub async fn start<B: Broadcast>(bus: B, topic: &str, options: ReplayOptions) -> Result<Self, Error> {
        let stop = StopSource::new();
        let ring = Arc::new(Mutex::new(Ring::new(options.max_messages.get(), options.max_age)));
        let (sender, more) = watch::channel(());
        let feed = feed::Feed {
            bus,
            topic: topic.into(),
            options: options.subscribe.stop(stop.token()),
            stop: stop.token(),
            ring: Arc::clone(&ring),
            more: sender,
        };
        let subscription = feed.subscribe().await?;
        tokio::spawn(feed.run(subscription));
        Ok(Self(Arc::new(Inner { topic: topic.into(), ring, more, stop })))
    }

    /// Subscribes to what comes from now on.
    #[must_use]
    pub fn subscribe(&self) -> ReplaySubscription {
        let at = self.ring().end();
        ReplaySubscription::new(Arc::clone(&self.0), at, false)
    }

    /// Subscribes to what came after the message of this [id](chappe_core::Message::id), and to what comes.
    ///
    /// If that message is not kept here, because it is too old or never was, everything that is kept comes
    /// behind a [`Gap`](chappe_core::backend::Signal::Gap).
    #[must_use]
    pub fn subscribe_after(&self, id: &str) -> ReplaySubscription {
        let ring = self.ring();
        let (at, gap) = match ring.after(id) {
            Some(at) => (at, false),
            None => (ring.start(), true),
        };
        drop(ring);
        ReplaySubscription::new(Arc::clone(&self.0), at, gap)
    }

    /// How many messages are kept now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring().len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn ring(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("topic", &self.0.topic).field("len", &self.len()).finish()
    }
}

/// How much a [`Replay`] keeps.
#[derive(Clone, Debug)]
#[must_use]
pub struct ReplayOptions {
    max_messages: NonZeroUsize,
    max_age: Duration,
    subscribe: SubscribeOptions,
}

impl ReplayOptions {
    /// 1024 messages of at most five minutes.
    pub fn new() -> Self {
        Self {
            max_messages: const { NonZeroUsize::new(1024).expect("1024 is not zero") },
            max_age: Duration::from_secs(5 * 60),
            subscribe: SubscribeOptions::new(),
        }
    }

    /// Sets how many messages are kept. It is also by how many a subscriber may be behind before it misses
    /// some, which it is told by [`Lagged`](chappe_core::backend::Signal::Lagged).
    pub fn max_messages(mut self, messages: NonZeroUsize) -> Self {
        self.max_messages = messages;
        self
    }

    /// Sets for how long a message is kept. One that [expires](chappe_core::Message::expires) is handed out
    /// no longer than that.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Sets how the bus is subscribed to. The stop token is the replay's own.
    pub fn subscribe(mut self, options: SubscribeOptions) -> Self {
        self.subscribe = options;
        self
    }
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self::new()
    }
}
