//! [`PubsubReceipt`], what settles a delivery.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use chappe_core::backend::LocalLease;
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
    lease: LocalLease,
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
            lease: LocalLease::new(received, lease),
            message,
            key,
            stock: Arc::downgrade(stock),
        }))
    }

    /// Another receipt for the same delivery, under which it is handed out here once more. This one is over.
    pub(super) fn anew(&self) -> Self {
        Self(Arc::new(Inner {
            ack_id: Arc::clone(&self.0.ack_id),
            lease: self.0.lease.hand_over(),
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

    pub(super) fn lease(&self) -> &LocalLease {
        &self.0.lease
    }
}

impl fmt::Debug for PubsubReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubsubReceipt").field("until", &self.0.lease.until()).finish_non_exhaustive()
    }
}
