//! [`PubsubReceipt`], what settles a delivery.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use chappe_core::{Key, MessageId};
use tokio::time::Instant;

use super::stock::Stock;

/// What settles a delivery of a [`PubsubQueue`](crate::PubsubQueue): an acknowledgement id, and how long it is good.
///
/// Pub/Sub may take an id that is out of date for whoever has the message now, so this one goes stale by itself:
/// when the delivery is settled for good, and when its lease is over by this machine's clock.
#[derive(Clone)]
pub struct PubsubReceipt(Arc<Inner>);

struct Inner {
    ack_id: Arc<str>,
    /// Since when the message is held.
    received: Instant,
    /// When the lease ends, in nanoseconds since `received`.
    until: AtomicU64,
    /// Nothing more can be done through it.
    over: AtomicBool,
    /// It is in the dead letter, and has yet to be acknowledged here.
    buried: AtomicBool,
    message: Option<MessageId>,
    /// What it is ordered by, where order is kept.
    key: Option<Key>,
    /// What the consumer that got it holds.
    stock: Weak<Stock>,
}

impl PubsubReceipt {
    pub(super) fn new(
        ack_id: Arc<str>,
        received: Instant,
        lease: Duration,
        message: Option<MessageId>,
        key: Option<Key>,
        stock: &Arc<Stock>,
    ) -> Self {
        Self(Arc::new(Inner {
            ack_id,
            received,
            until: AtomicU64::new(nanos(lease)),
            over: AtomicBool::new(false),
            buried: AtomicBool::new(false),
            message,
            key,
            stock: Arc::downgrade(stock),
        }))
    }

    /// Another receipt for the same delivery, under which it is handed out here once more. This one is over.
    pub(super) fn anew(&self) -> Self {
        self.end();
        Self(Arc::new(Inner {
            ack_id: Arc::clone(&self.0.ack_id),
            received: self.0.received,
            until: AtomicU64::new(self.0.until.load(Ordering::Acquire)),
            over: AtomicBool::new(false),
            buried: AtomicBool::new(false),
            message: self.0.message.clone(),
            key: self.0.key.clone(),
            stock: Weak::clone(&self.0.stock),
        }))
    }

    pub(super) fn ack_id(&self) -> &str {
        &self.0.ack_id
    }

    pub(super) fn message(&self) -> Option<&MessageId> {
        self.0.message.as_ref()
    }

    pub(super) fn key(&self) -> Option<&Key> {
        self.0.key.as_ref()
    }

    /// What the consumer that got it holds, for as long as there is one.
    pub(super) fn stock(&self) -> Option<Arc<Stock>> {
        self.0.stock.upgrade()
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// When the lease ends.
    pub(super) fn until(&self) -> Instant {
        self.0.received + Duration::from_nanos(self.0.until.load(Ordering::Acquire))
    }

    /// Whether nothing can be done through it any more.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.0.over.load(Ordering::Acquire) || self.until() <= now
    }

    /// How long the message has been held.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.0.received)
    }

    pub(super) fn extend(&self, until: Instant) {
        self.0.until.store(nanos(until.saturating_duration_since(self.0.received)), Ordering::Release);
    }

    pub(super) fn end(&self) {
        self.0.over.store(true, Ordering::Release);
    }

    pub(super) fn is_buried(&self) -> bool {
        self.0.buried.load(Ordering::Acquire)
    }

    pub(super) fn bury(&self) {
        self.0.buried.store(true, Ordering::Release);
    }
}

impl fmt::Debug for PubsubReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubsubReceipt").field("until", &self.until()).finish_non_exhaustive()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
