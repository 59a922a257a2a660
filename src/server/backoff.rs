//! [`Backoff`], how long a failed message waits for its next attempt.

use std::time::Duration;

/// How long a failed message waits for its next attempt, by the number of attempts so far.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use chappe::server::Backoff;
///
/// let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(60));
/// assert!(backoff.delay(3) <= Duration::from_millis(400));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    jitter: bool,
}

impl Backoff {
    /// Doubles from `first` up to `max`, with full jitter: the delay is drawn evenly from zero to the
    /// current bound, so that messages that failed together do not come back together.
    #[must_use]
    pub const fn exponential(first: Duration, max: Duration) -> Self {
        Self { first, max, jitter: true }
    }

    /// Always the same delay.
    #[must_use]
    pub const fn fixed(delay: Duration) -> Self {
        Self { first: delay, max: delay, jitter: false }
    }

    /// No delay at all. A message that always fails then keeps a worker busy, so set a limit of attempts
    /// and a dead letter.
    #[must_use]
    pub const fn none() -> Self {
        Self::fixed(Duration::ZERO)
    }

    /// The delay after attempt number `attempt`, counted from 1.
    #[must_use]
    pub fn delay(&self, attempt: u32) -> Duration {
        let bound = self.bound(attempt);
        if self.jitter { bound.mul_f64(fastrand::f64()) } else { bound }
    }

    /// The longest delay there can be after attempt number `attempt`.
    #[must_use]
    pub fn bound(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }
}

/// From 200 ms up to 5 minutes.
impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(Duration::from_millis(200), Duration::from_secs(300))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_maximum_and_never_overflows() {
        let backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(10));

        let bounds: Vec<u64> = [0, 1, 2, 3, 4, 5, u32::MAX].map(|attempt| backoff.bound(attempt).as_secs()).into();

        assert_eq!(bounds, [1, 1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn jitter_fills_the_whole_range() {
        let backoff = Backoff::exponential(Duration::from_secs(8), Duration::from_secs(8));

        let delays: Vec<Duration> = (0..1000).map(|_| backoff.delay(1)).collect();

        assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(8)));
        assert!(delays.iter().any(|delay| *delay < Duration::from_secs(1)));
        assert!(delays.iter().any(|delay| *delay > Duration::from_secs(7)));
    }
}
