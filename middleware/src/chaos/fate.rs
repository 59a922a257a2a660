//! What the seed has in store for each call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) delay: Duration,
    pub(super) fault: Option<Fault>,
}

impl Fate {
    pub(super) const NONE: Self = Self { delay: Duration::ZERO, fault: None };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Before,
    After,
    Panic,
}

/// How likely each fault is, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Odds {
    pub(super) before: f64,
    pub(super) after: f64,
    pub(super) panic: f64,
    pub(super) delay: f64,
    pub(super) max_delay: Duration,
}

/// The fates of all calls, to be handed out one by one.
#[derive(Debug)]
pub(super) struct Fates {
    seed: u64,
    odds: Odds,
    calls: AtomicU64,
}

impl Fates {
    pub(super) const fn new(seed: u64, odds: Odds) -> Self {
        Self { seed, odds, calls: AtomicU64::new(0) }
    }

    pub(super) const fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) const fn odds(&self) -> Odds {
        self.odds
    }

    pub(super) fn next(&self) -> Fate {
        if self.odds == Odds::default() {
            return Fate::NONE;
        }
        self.of(self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// The fate of one call, whatever befell the others.
    fn of(&self, call: u64) -> Fate {
        // Seeds that are next to each other must not give fates that are alike: an odd factor spreads them.
        let mut random = Rng::with_seed(self.seed ^ call.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let Odds { before, after, panic, delay, max_delay } = self.odds;
        let delay = if random.f64() < delay { max_delay.mul_f64(random.f64()) } else { Duration::ZERO };
        let drawn = random.f64();
        let fault = match () {
            () if drawn < before => Some(Fault::Before),
            () if drawn < before + after => Some(Fault::After),
            () if drawn < before + after + panic => Some(Fault::Panic),
            () => None,
        };
        Fate { delay, fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODDS: Odds = Odds { before: 0.2, after: 0.1, panic: 0.05, delay: 0.3, max_delay: Duration::from_secs(1) };

    fn fates(seed: u64) -> Vec<Fate> {
        let fates = Fates::new(seed, ODDS);
        (0..10_000).map(|_| fates.next()).collect()
    }

    #[test]
    fn a_seed_has_the_same_in_store_every_time_and_another_seed_has_not() {
        assert_eq!(fates(1), fates(1));
        assert_ne!(fates(1), fates(2));
    }

    #[test]
    fn faults_are_as_frequent_as_their_odds() {
        let fates = fates(42);

        let share = |fault| fates.iter().filter(|fate| fate.fault == fault).count() as f64 / fates.len() as f64;
        assert!((share(Some(Fault::Before)) - 0.2).abs() < 0.02);
        assert!((share(Some(Fault::After)) - 0.1).abs() < 0.02);
        assert!((share(Some(Fault::Panic)) - 0.05).abs() < 0.02);
        let delayed = fates.iter().filter(|fate| fate.delay > Duration::ZERO).count();
        assert!((2_700..3_300).contains(&delayed), "{delayed}");
    }
}
