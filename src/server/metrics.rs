//! What a server counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The bounds of the buckets of [`Metrics::process_duration`], in seconds, as OpenTelemetry's messaging
/// conventions advise for `messaging.process.duration`.
pub const DURATION_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// What a server has counted so far. The names in brackets are OpenTelemetry's.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// Messages fetched, each delivery counted (`messaging.client.consumed.messages`).
    pub fetched: u64,
    /// Messages a receiver was done with, however it ended.
    pub processed: u64,
    /// Messages acknowledged, as confirmed by the queue.
    pub acked: u64,
    /// Messages given back to be tried again, retries held in this process included.
    pub retried: u64,
    /// Messages put in the dead letter.
    pub dead_lettered: u64,
    /// Messages given back without blame.
    pub released: u64,
    /// Receivers that answered with an error.
    pub errors: u64,
    /// Receivers that panicked.
    pub panics: u64,
    /// Receivers that took longer than the timeout.
    pub timeouts: u64,
    /// Handlers cancelled at the deadline of a shutdown.
    pub aborted: u64,
    /// Fetches that failed.
    pub fetch_errors: u64,
    /// Settlements that had to be repeated.
    pub settle_retries: u64,
    /// Settlements that came too late: the lease was over.
    pub lost: u64,
    /// Settlements that were given up.
    pub unsettled: u64,
    /// Leases renewed.
    pub leases_renewed: u64,
    /// Leases lost while the message was here.
    pub leases_lost: u64,
    /// Redeliveries acknowledged without handling, because only the acknowledgement had been lost.
    pub acked_again: u64,
    /// How often the server was throttled by a receiver.
    pub throttled: u64,
    /// Messages fetched and not settled, now.
    pub in_flight: usize,
    /// How long the oldest of them has been here.
    pub oldest: Option<Duration>,
    /// How many receivers took how long, per bucket of [`DURATION_BUCKETS`] and one beyond
    /// (`messaging.process.duration`).
    ///
    /// Receivers that finish without waiting are timed together with their neighbours, in groups that take
    /// well under the first bound.
    pub process_duration: [u64; DURATION_BUCKETS.len() + 1],
    /// The time spent in all receivers together.
    pub process_duration_sum: Duration,
}

/// The counters behind [`Metrics`].
#[derive(Debug, Default)]
pub(super) struct Meters {
    pub(super) fetched: Counter,
    pub(super) acked: Counter,
    pub(super) retried: Counter,
    pub(super) dead_lettered: Counter,
    pub(super) released: Counter,
    pub(super) errors: Counter,
    pub(super) panics: Counter,
    pub(super) timeouts: Counter,
    pub(super) aborted: Counter,
    pub(super) fetch_errors: Counter,
    pub(super) settle_retries: Counter,
    pub(super) lost: Counter,
    pub(super) unsettled: Counter,
    pub(super) leases_renewed: Counter,
    pub(super) leases_lost: Counter,
    pub(super) acked_again: Counter,
    pub(super) throttled: Counter,
    buckets: [Counter; DURATION_BUCKETS.len() + 1],
    nanos: Counter,
}

impl Meters {
    /// Records that `count` receivers took `each`.
    pub(super) fn processed(&self, count: u64, each: Duration) {
        let seconds = each.as_secs_f64();
        let bucket = DURATION_BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(DURATION_BUCKETS.len());
        self.buckets[bucket].add(count);
        self.nanos.add(u64::try_from(each.as_nanos()).unwrap_or(u64::MAX).saturating_mul(count));
    }

    /// What was counted so far, but for what is in flight.
    pub(super) fn snapshot(&self) -> Metrics {
        Metrics {
            fetched: self.fetched.get(),
            processed: self.buckets.iter().map(Counter::get).sum(),
            acked: self.acked.get(),
            retried: self.retried.get(),
            dead_lettered: self.dead_lettered.get(),
            released: self.released.get(),
            errors: self.errors.get(),
            panics: self.panics.get(),
            timeouts: self.timeouts.get(),
            aborted: self.aborted.get(),
            fetch_errors: self.fetch_errors.get(),
            settle_retries: self.settle_retries.get(),
            lost: self.lost.get(),
            unsettled: self.unsettled.get(),
            leases_renewed: self.leases_renewed.get(),
            leases_lost: self.leases_lost.get(),
            acked_again: self.acked_again.get(),
            throttled: self.throttled.get(),
            in_flight: 0,
            oldest: None,
            process_duration: std::array::from_fn(|bucket| self.buckets[bucket].get()),
            process_duration_sum: Duration::from_nanos(self.nanos.get()),
        }
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_whose_bound_they_do_not_exceed() {
        let meters = Meters::default();

        meters.processed(3, Duration::from_millis(5));
        meters.processed(1, Duration::from_secs(60));

        let metrics = meters.snapshot();
        assert_eq!((metrics.process_duration[0], metrics.process_duration[14]), (3, 1));
        assert_eq!(metrics.process_duration_sum, Duration::from_millis(60_015));
    }
}
