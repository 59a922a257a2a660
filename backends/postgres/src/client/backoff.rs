//! [`Backoff`], the pauses between attempts to connect.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
/// What a server that comes back may wait for us.
const LAST: Duration = Duration::from_secs(5);

const PAUSES: chappe_core::Backoff = chappe_core::Backoff::exponential(FIRST, LAST).at_least_half();

/// How often it failed in a row, and so how long to wait.
#[derive(Debug, Default)]
pub(crate) struct Backoff(u32);

impl Backoff {
    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        self.0 = self.0.saturating_add(1);
        PAUSES.delay(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_seconds() {
        let mut backoff = Backoff::default();

        let pauses: Vec<Duration> = (0..40).map(|_| backoff.next()).collect();

        assert!(pauses[0] <= FIRST && pauses[39] >= LAST / 2);
        assert!(pauses.iter().all(|pause| *pause <= LAST));
    }
}
