//! [`SqsReceipt`], what settles a delivery.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

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
    /// From when SQS counts its twelve hours.
    received: Instant,
    /// When the lease ends, in nanoseconds since `received`.
    until: AtomicU64,
    /// Nothing more can be done through it.
    over: AtomicBool,
    /// It is in the dead letter, and has yet to be deleted here.
    buried: AtomicBool,
    blob: Option<BlobKey>,
    /// The group it is in, of a FIFO queue.
    group: Option<(Weak<Groups>, Arc<str>)>,
}

impl SqsReceipt {
    pub(super) fn new(handle: String, received: Instant, lease: Duration, blob: Option<BlobKey>) -> Self {
        Self(Arc::new(Inner {
            handle,
            received,
            until: AtomicU64::new(nanos(lease)),
            over: AtomicBool::new(false),
            buried: AtomicBool::new(false),
            blob,
            group: None,
        }))
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

    /// When the lease ends.
    pub(super) fn until(&self) -> Instant {
        self.0.received + Duration::from_nanos(self.0.until.load(Ordering::Acquire))
    }

    /// Whether nothing can be done through it any more.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.0.over.load(Ordering::Acquire) || self.until() <= now
    }

    /// How long SQS has held the message for us.
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

impl fmt::Debug for SqsReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsReceipt").field("until", &self.until()).finish_non_exhaustive()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
