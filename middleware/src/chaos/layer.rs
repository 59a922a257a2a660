use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;

use super::Chaos;
use super::fate::{Fates, Odds};

/// Makes calls fail and wait at random; see the [module](super).
///
/// The options take probabilities from 0 to 1. A call has one fault at most; where the odds of all add up to
/// more than 1, the first ones listed come first.
#[derive(Clone, Debug)]
pub struct ChaosLayer {
    fates: Arc<Fates>,
}

impl ChaosLayer {
    /// Chaos that repeats with its seed, and so far does nothing.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { fates: Arc::new(Fates::new(seed, Odds::default())) }
    }

    /// How often a call fails before it is made.
    #[must_use]
    pub fn fail_before(self, probability: f64) -> Self {
        self.with(|odds| odds.before = probability)
    }

    /// How often the answer of a call is lost after it was made.
    #[must_use]
    pub fn fail_after(self, probability: f64) -> Self {
        self.with(|odds| odds.after = probability)
    }

    /// How often there is a panic in place of a call.
    #[must_use]
    pub fn panic(self, probability: f64) -> Self {
        self.with(|odds| odds.panic = probability)
    }

    /// How often a call is put off, and for how long at the longest.
    #[must_use]
    pub fn delay(self, probability: f64, longest: Duration) -> Self {
        self.with(|odds| (odds.delay, odds.max_delay) = (probability, longest))
    }

    fn with(self, change: impl FnOnce(&mut Odds)) -> Self {
        let mut odds = self.fates.odds();
        change(&mut odds);
        Self { fates: Arc::new(Fates::new(self.fates.seed(), odds)) }
    }
}

impl<S> Layer<S> for ChaosLayer {
    type Service = Chaos<S>;

    fn layer(&self, inner: S) -> Chaos<S> {
        Chaos { inner, fates: Arc::clone(&self.fates) }
    }
}
