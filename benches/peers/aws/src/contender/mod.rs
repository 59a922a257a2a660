//! Who does the work: publishes so many messages, and then handles and deletes them all.

use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::Run;
use crate::calls::Connection;

pub mod omniqueue;
pub mod ours;
pub mod raw;

/// One way of doing it.
pub type Contender = fn(Connection, usize) -> Pin<Box<dyn Future<Output = Run> + Send>>;

/// So many of `messages` for each of `workers`.
pub fn shares(messages: usize, workers: usize) -> impl Iterator<Item = usize> {
    (0..workers).map(move |worker| messages / workers + usize::from(worker < messages % workers))
}

/// The clock of consuming, which stops when the last message is handled: the polls that others of a contender
/// are waiting in by then, and the last deletions, are nobody's work.
pub struct Clock {
    begun: Instant,
    left: AtomicUsize,
    stopped: OnceLock<Duration>,
}

impl Clock {
    pub fn start(messages: usize) -> Self {
        Self { begun: Instant::now(), left: AtomicUsize::new(messages), stopped: OnceLock::new() }
    }

    /// Counts a message that was handled; answers whether it was the last.
    pub fn handled(&self) -> bool {
        let last = self.left.fetch_sub(1, Ordering::Relaxed) == 1;
        if last {
            self.stopped.get_or_init(|| self.begun.elapsed());
        }
        last
    }

    /// How long it took, once it is over.
    pub fn stopped(&self) -> Option<Duration> {
        self.stopped.get().copied()
    }
}
