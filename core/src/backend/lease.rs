//! [`LocalLease`], a lease that is told by the clock of this machine.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long a receipt is good, where the broker would take one that is out of date for whoever has the message now:
/// until its delivery is settled for good, and no longer than its lease lasts by this machine's clock.
#[derive(Debug)]
pub struct LocalLease {
    received: Instant,
    /// When the lease ends, in nanoseconds since `received`.
    until: AtomicU64,
    /// Nothing more can be done with the delivery.
    over: AtomicBool,
    buried: AtomicBool,
}

impl LocalLease {
    /// A lease of this length on what was received then.
    #[must_use]
    pub fn new(received: Instant, lease: Duration) -> Self {
        Self {
            received,
            until: AtomicU64::new(nanos(lease)),
            over: AtomicBool::new(false),
            buried: AtomicBool::new(false),
        }
    }

    /// Another of the same delivery, as long as this one. This one is over.
    #[must_use]
    pub fn hand_over(&self) -> Self {
        self.end();
        Self::new(self.received, self.length())
    }

    /// When it ends.
    #[must_use]
    pub fn until(&self) -> Instant {
        self.received + self.length()
    }

    /// Whether nothing can be done with the delivery any more.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        self.over.load(Ordering::Acquire) || self.until() <= now
    }

    /// How long the message has been held in all.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.received)
    }

    /// Has it end then.
    pub fn extend(&self, until: Instant) {
        self.until.store(nanos(until.saturating_duration_since(self.received)), Ordering::Release);
    }

    /// The delivery is settled for good.
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// Whether the message is in the dead letter, and has yet to be acknowledged where it came from.
    #[must_use]
    pub fn is_buried(&self) -> bool {
        self.buried.load(Ordering::Acquire)
    }

    /// The message is in the dead letter.
    pub fn bury(&self) {
        self.buried.store(true, Ordering::Release);
    }

    fn length(&self) -> Duration {
        Duration::from_nanos(self.until.load(Ordering::Acquire))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_over_at_its_end_or_once_it_is_settled() {
        let now = Instant::now();
        let (lease, settled) = (LocalLease::new(now, LEASE), LocalLease::new(now, LEASE));

        lease.extend(now + 2 * LEASE);
        settled.end();

        assert_eq!((lease.until(), lease.age(now + LEASE)), (now + 2 * LEASE, LEASE));
        assert!(!lease.is_over(now + LEASE) && lease.is_over(now + 2 * LEASE));
        assert!(settled.is_over(now));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_a_delivery_over_has_the_rest_of_its_lease() {
        let now = Instant::now();
        let first = LocalLease::new(now, LEASE);
        first.bury();

        let second = first.hand_over();

        assert!(first.is_over(now) && !second.is_over(now));
        assert_eq!((second.until(), second.is_buried()), (first.until(), false));
    }
}
