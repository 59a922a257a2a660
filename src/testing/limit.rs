//! How long a test waits before it is told that it waits in vain.

use std::time::{Duration, Instant};

use tokio::time;

/// How long in real time.
pub(super) const REAL: Duration = Duration::from_secs(10);

/// How long where time is paused: it costs next to nothing there, and retries may be hours off.
const PAUSED: Duration = Duration::from_secs(24 * 3600);

/// Resolves when a test has waited for too long.
///
/// Nobody says whether time is paused, but the two clocks then disagree, so both are looked at.
pub(super) async fn too_long() {
    let (real, own) = (Instant::now(), time::Instant::now());
    loop {
        time::sleep(REAL).await;
        if real.elapsed() >= REAL / 2 || own.elapsed() >= PAUSED {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn paused_time_is_waited_for_a_day() {
        let began = time::Instant::now();

        too_long().await;

        assert_eq!(began.elapsed().as_secs() / 3600, 24);
    }
}
