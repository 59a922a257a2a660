use std::time::Duration;

use chappe_core::Lease;
use tokio::time::Instant;
use tower_layer::Layer;

use super::Timeout;

/// Limits how long a message may take; see the [module](super).
#[derive(Clone, Copy, Debug)]
pub struct TimeoutLayer {
    limit: Limit,
}

impl TimeoutLayer {
    /// Limits every message to the same time.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self { limit: Limit { fixed: Some(limit), lease_share: None } }
    }

    /// Limits a message to a share of what is left of its lease, from 0 to 1. One without a lease is not
    /// limited, unless by [`at_most`](Self::at_most).
    #[must_use]
    pub const fn from_lease(share: f64) -> Self {
        Self { limit: Limit { fixed: None, lease_share: Some(share.clamp(0.0, 1.0)) } }
    }

    /// Limits every message to `limit` as well.
    #[must_use]
    pub const fn at_most(mut self, limit: Duration) -> Self {
        self.limit.fixed = Some(limit);
        self
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = Timeout<S>;

    fn layer(&self, inner: S) -> Timeout<S> {
        Timeout { inner, limit: self.limit }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    fixed: Option<Duration>,
    pub(super) lease_share: Option<f64>,
}

impl Limit {
    /// How long a message may take from now.
    pub(super) fn of(self, lease: Option<&Lease>) -> Option<Duration> {
        let left = lease.and_then(Lease::deadline).map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let by_lease = left.zip(self.lease_share).map(|(left, share)| left.mul_f64(share));
        match (self.fixed, by_lease) {
            (Some(fixed), Some(by_lease)) => Some(fixed.min(by_lease)),
            (one, other) => one.or(other),
        }
    }
}
