//! [`Backoff`], how long to wait before something that failed is tried again.

use std::time::Duration;

/// How long to wait before something that failed is tried again, by the number of attempts so far: a message
/// that was not handled, a connection that was lost.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use chappe_core::Backoff;
///
/// let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(60));
/// assert!(backoff.delay(3) <= Duration::from_millis(400));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    jitter: Jitter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jitter {
    None,
    Half,
    Full,
}

impl Backoff {
    /// Doubles from `first` up to `max`, with full jitter: the delay is drawn evenly from zero to the
    /// current bound, so that messages that failed together do not come back together.
    #[must_use]
    pub const fn exponential(first: Duration, max: Duration) -> Self {
        Self { first, max, jitter: Jitter::Full }
    }

    /// Draws delays from the upper half of what they may be: for a connection, where hardly waiting is not
    /// waiting.
    #[must_use]
    pub const fn at_least_half(mut self) -> Self {
        self.jitter = Jitter::Half;
        self
    }

    /// Always the same delay.
    #[must_use]
    pub const fn fixed(delay: Duration) -> Self {
        Self { first: delay, max: delay, jitter: Jitter::None }
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
        match self.jitter {
            Jitter::None => bound,
            Jitter::Half => bound.mul_f64(0.5 + 0.5 * fastrand::f64()),
            Jitter::Full => bound.mul_f64(fastrand::f64()),
        }
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

    #[test]
    fn half_of_it_may_be_certain() {
        let backoff = Backoff::exponential(Duration::from_secs(8), Duration::from_secs(8)).at_least_half();

        let delays: Vec<Duration> = (0..1000).map(|_| backoff.delay(1)).collect();

        assert!(delays.iter().all(|delay| (4..=8).contains(&delay.as_secs())));
        assert!(delays.iter().any(|delay| *delay < Duration::from_secs(5)));
    }
}
