use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use chappe_core::Outcome;
use tower_layer::Layer;

use super::circuit::{Circuit, Switch};
use super::rule::{Limit, Rule};
use super::{Breaker, BreakerHandle};

/// Takes no messages while too many of them fail; see the [module](super).
#[derive(Clone, Debug)]
pub struct BreakerLayer {
    rule: Rule,
    switch: Arc<Switch>,
}

impl BreakerLayer {
    /// Opens when so many messages have failed one after the other. At least 1.
    #[must_use]
    pub fn consecutive(failures: usize) -> Self {
        Self::new(Limit::Consecutive(failures.max(1)))
    }

    /// Opens when this share of the last `calls` has failed, from 0 to 1. Not before there were so many; at
    /// least 1.
    #[must_use]
    pub fn share(share: f64, calls: usize) -> Self {
        Self::new(Limit::Share { share: share.clamp(0.0, 1.0), calls: calls.max(1) })
    }

    fn new(limit: Limit) -> Self {
        let rule = Rule { limit, within: Duration::from_secs(60), open_for: Duration::from_secs(30), counts: None };
        Self { rule, switch: Arc::default() }
    }

    /// Sets how long a failure is remembered: one that comes later than this after the one before counts as
    /// the first. The default is a minute.
    #[must_use]
    pub const fn within(mut self, time: Duration) -> Self {
        self.rule.within = time;
        self
    }

    /// Sets how long no message is let through before one is tried. The default is 30 s.
    #[must_use]
    pub const fn open_for(mut self, time: Duration) -> Self {
        self.rule.open_for = time;
        self
    }

    /// Sets what counts as a failure, by what the answer means for the message and the error, if it is one.
    ///
    /// The default counts [`Outcome::Retry`] and [`Outcome::RetryAfter`], which is what most errors mean.
    #[must_use]
    pub fn count_if(
        mut self,
        is_failure: impl Fn(&Outcome, Option<&(dyn StdError + 'static)>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.rule.counts = Some(Arc::new(is_failure));
        self
    }

    /// Looks at the breaker and switches it, before there is a service and after.
    #[must_use]
    pub fn handle(&self) -> BreakerHandle {
        BreakerHandle::new(Arc::clone(&self.switch))
    }
}

impl<S> Layer<S> for BreakerLayer {
    type Service = Breaker<S>;

    fn layer(&self, inner: S) -> Breaker<S> {
        Breaker::new(inner, Arc::new(Circuit::new(self.rule.clone(), Arc::clone(&self.switch))))
    }
}
