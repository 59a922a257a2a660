//! [`Status`], how a backend handle says how it is.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;

type Callback = Arc<dyn Fn(u64) + Send + Sync>;

/// The health, connection epoch and counters of a backend handle. Every backend owns one; clones share it.
///
/// It begins healthy in epoch 1 for backends that have nothing to connect to ([`Status::new`]), and
/// unhealthy in epoch 0 for others ([`Status::connecting`]).
#[derive(Clone)]
pub struct Status(Arc<Inner>);

struct Inner {
    health: watch::Sender<Health>,
    callbacks: Mutex<Callbacks>,
    sent: AtomicU64,
    received: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Callbacks {
    next: u64,
    list: Vec<(u64, Callback)>,
}

/// Whether a handle has its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Whether it can publish and receive.
    pub healthy: bool,
    /// How often it has connected.
    pub epoch: u64,
    /// What was wrong last, while it is not healthy.
    pub error: Option<Arc<str>>,
}

/// What has passed through a handle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Whether the handle has its connection.
    pub connected: bool,
    /// Messages published.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Messages dropped for subscribers that were too slow.
    pub dropped: u64,
}

impl Status {
    /// The status of a backend that has nothing to connect to: healthy, in epoch 1.
    #[must_use]
    pub fn new() -> Self {
        Self::with_health(Health { healthy: true, epoch: 1, error: None })
    }

    /// The status of a backend that has yet to connect: unhealthy, in epoch 0.
    #[must_use]
    pub fn connecting() -> Self {
        Self::with_health(Health { healthy: false, epoch: 0, error: None })
    }

    fn with_health(health: Health) -> Self {
        Self(Arc::new(Inner {
            health: watch::Sender::new(health),
            callbacks: Mutex::default(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }))
    }

    /// Whether the handle has its connection.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.0.health.borrow().healthy
    }

    /// The health as it is now.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.health.borrow().clone()
    }

    /// The health as it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Health> {
        self.0.health.subscribe()
    }

    /// The counters as they are now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            connected: self.is_healthy(),
            sent: self.0.sent.load(Ordering::Relaxed),
            received: self.0.received.load(Ordering::Relaxed),
            dropped: self.0.dropped.load(Ordering::Relaxed),
        }
    }

    /// Has `callback` called with the new epoch after every reconnect, until the guard is dropped. Any
    /// number may be registered. The first connect is no reconnect.
    pub fn on_reconnect(&self, callback: impl Fn(u64) + Send + Sync + 'static) -> ReconnectGuard {
        let mut callbacks = self.0.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        let id = callbacks.next;
        callbacks.next += 1;
        callbacks.list.push((id, Arc::new(callback)));
        ReconnectGuard { status: Arc::downgrade(&self.0), id }
    }

    /// For backends: the connection stands, and whatever was subscribed is subscribed again. Begins a new
    /// epoch and calls the callbacks on the calling task, unless the handle was healthy already.
    pub fn up(&self) {
        let mut epoch = 0;
        let changed = self.0.health.send_if_modified(|health| {
            let changed = !health.healthy;
            if changed {
                health.epoch += 1;
                *health = Health { healthy: true, epoch: health.epoch, error: None };
                epoch = health.epoch;
            }
            changed
        });
        if changed && epoch > 1 {
            // Cloned out, so that a callback may register or drop others.
            let callbacks = self.0.callbacks.lock().unwrap_or_else(PoisonError::into_inner).list.clone();
            for (_, callback) in callbacks {
                callback(epoch);
            }
        }
    }

    /// For backends: the connection is lost.
    pub fn down(&self, error: impl fmt::Display) {
        let error: Arc<str> = error.to_string().into();
        self.0.health.send_if_modified(|health| {
            let changed = health.healthy || health.error.as_ref() != Some(&error);
            health.healthy = false;
            health.error = Some(error);
            changed
        });
    }

    /// For backends: counts published messages.
    pub fn count_sent(&self, messages: u64) {
        self.0.sent.fetch_add(messages, Ordering::Relaxed);
    }

    /// For backends: counts received messages.
    pub fn count_received(&self, messages: u64) {
        self.0.received.fetch_add(messages, Ordering::Relaxed);
    }

    /// For backends: counts messages dropped for slow subscribers.
    pub fn count_dropped(&self, messages: u64) {
        self.0.dropped.fetch_add(messages, Ordering::Relaxed);
    }
}

impl Default for Status {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Status").field("health", &self.health()).field("stats", &self.stats()).finish()
    }
}

/// Keeps a [reconnect callback](Status::on_reconnect) registered.
#[must_use = "dropping the guard takes the callback back"]
pub struct ReconnectGuard {
    status: Weak<Inner>,
    id: u64,
}

impl ReconnectGuard {
    /// Leaves the callback registered for the life of the handle.
    pub fn forget(mut self) {
        self.status = Weak::new();
    }
}

impl Drop for ReconnectGuard {
    fn drop(&mut self) {
        if let Some(status) = self.status.upgrade() {
            let mut callbacks = status.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
            callbacks.list.retain(|(id, _)| *id != self.id);
        }
    }
}

impl fmt::Debug for ReconnectGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectGuard").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(status: &Status) -> (Arc<AtomicU64>, ReconnectGuard) {
        let calls = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&calls);
        let guard = status.on_reconnect(move |_| {
            seen.fetch_add(1, Ordering::Relaxed);
        });
        (calls, guard)
    }

    #[test]
    fn every_callback_is_called_once_per_reconnect_until_its_guard_is_dropped() {
        let status = Status::new();
        let (first, guard) = counter(&status);
        let (second, _kept) = counter(&status);

        status.down("cut");
        status.up();
        status.up();
        drop(guard);
        status.down("cut");
        status.up();

        assert_eq!((first.load(Ordering::Relaxed), second.load(Ordering::Relaxed)), (1, 2));
        assert_eq!(status.health(), Health { healthy: true, epoch: 3, error: None });
    }

    #[test]
    fn the_first_connect_is_no_reconnect() {
        let status = Status::connecting();
        let (calls, _guard) = counter(&status);

        status.up();

        assert_eq!((calls.load(Ordering::Relaxed), status.health().epoch), (0, 1));
    }

    #[test]
    fn a_callback_may_register_another() {
        let status = Status::new();
        let inner = status.clone();
        let _guard = status.on_reconnect(move |_| inner.on_reconnect(|_| {}).forget());

        status.down("cut");
        status.up();

        assert!(status.is_healthy());
    }
}
