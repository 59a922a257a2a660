//! [`SqsReceipt`], what settles a delivery.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use chappe_core::backend::LocalLease;
use tokio::time::Instant;

use super::groups::Groups;
use crate::blob::BlobKey;

/// What settles a delivery of an [`SqsQueue`](crate::SqsQueue): a receipt handle, and how long it is good.
///
/// SQS applies a handle to whoever has the message now, so this one goes stale by itself: when the delivery
/// is settled for good, and when its lease is over by this machine's clock.
#[derive(Clone)]
pub struct SqsReceipt(Arc<Inner>);

struct Inner {
    handle: String,
    /// From when it was received, which is when SQS begins to count its twelve hours.
    lease: LocalLease,
    blob: Option<BlobKey>,
    /// The group it is in, of a FIFO queue.
    group: Option<(Weak<Groups>, Arc<str>)>,
}

impl SqsReceipt {
    pub(super) fn new(handle: String, received: Instant, lease: Duration, blob: Option<BlobKey>) -> Self {
        Self(Arc::new(Inner { handle, lease: LocalLease::new(received, lease), blob, group: None }))
    }

    /// Names the group, before the receipt is handed out.
    pub(super) fn grouped(mut self, groups: &Arc<Groups>, group: Arc<str>) -> Self {
        let inner = Arc::get_mut(&mut self.0).expect("a new receipt is not shared");
        inner.group = Some((Arc::downgrade(groups), group));
        self
    }

    pub(super) fn handle(&self) -> &str {
        &self.0.handle
    }

    pub(super) fn blob(&self) -> Option<&BlobKey> {
        self.0.blob.as_ref()
    }

    /// The groups of the consumer that fetched it, for as long as there is one, and which it is in.
    pub(super) fn group(&self) -> Option<(Arc<Groups>, &Arc<str>)> {
        let (groups, group) = self.0.group.as_ref()?;
        Some((groups.upgrade()?, group))
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn lease(&self) -> &LocalLease {
        &self.0.lease
    }
}

impl fmt::Debug for SqsReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsReceipt").field("until", &self.0.lease.until()).finish_non_exhaustive()
    }
}
