//! [`Rule`], when a breaker opens, and [`Tally`], what it has counted.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use chappe_core::Outcome;
use tokio::time::Instant;

/// What of a breaker is set in the beginning.
#[derive(Clone)]
pub(super) struct Rule {
    pub(super) limit: Limit,
    /// A failure that comes later than this after the one before counts as the first.
    pub(super) within: Duration,
    pub(super) open_for: Duration,
    pub(super) counts: Option<Predicate>,
}

/// Which answers are failures.
pub(super) type Predicate = std::sync::Arc<dyn Fn(&Outcome, Option<&(dyn StdError + 'static)>) -> bool + Send + Sync>;

/// How many failures are too many.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    /// So many, one after the other.
    Consecutive(usize),
    /// This share of the last so many calls.
    Share { share: f64, calls: usize },
}

impl Rule {
    /// Whether a call failed, by what it answered.
    pub(super) fn is_failure(&self, outcome: &Outcome, error: Option<&(dyn StdError + 'static)>) -> bool {
        match &self.counts {
            Some(counts) => counts(outcome, error),
            None => matches!(outcome, Outcome::Retry | Outcome::RetryAfter(_)),
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("limit", &self.limit)
            .field("within", &self.within)
            .field("open_for", &self.open_for)
            .finish_non_exhaustive()
    }
}

/// What was counted since the breaker closed.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Whether each of the last calls failed; kept only where a share is asked for.
    recent: VecDeque<bool>,
    failures: usize,
    last_failure: Option<Instant>,
}

impl Tally {
    /// Counts a call, and says whether that was one failure too many.
    pub(super) fn count(&mut self, rule: &Rule, failed: bool) -> bool {
        if failed {
            // Successes do without the clock.
            let now = Instant::now();
            if self.last_failure.is_some_and(|last| now.duration_since(last) > rule.within) {
                *self = Self::default();
            }
            self.last_failure = Some(now);
        }
        match rule.limit {
            Limit::Consecutive(limit) => {
                self.failures = if failed { self.failures + 1 } else { 0 };
                self.failures >= limit
            }
            Limit::Share { share, calls } => {
                if self.recent.len() == calls {
                    self.failures -= usize::from(self.recent.pop_front() == Some(true));
                }
                self.recent.push_back(failed);
                self.failures += usize::from(failed);
                failed && self.recent.len() == calls && self.failures as f64 >= share * calls as f64
            }
        }
    }

    /// Whether a success would change nothing.
    pub(super) fn is_blank(&self, rule: &Rule) -> bool {
        matches!(rule.limit, Limit::Consecutive(_)) && self.failures == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(limit: Limit) -> Rule {
        Rule { limit, within: Duration::from_secs(60), open_for: Duration::from_secs(30), counts: None }
    }

    /// Counts calls, `x` for one that failed, and says after which of them it was too many.
    fn opens_after(limit: Limit, calls: &str) -> Option<usize> {
        let (rule, mut tally) = (rule(limit), Tally::default());
        calls.chars().position(|call| tally.count(&rule, call == 'x')).map(|at| at + 1)
    }

    #[tokio::test(start_paused = true)]
    async fn failures_one_after_the_other_are_counted_from_the_last_success() {
        let limit = Limit::Consecutive(3);

        assert_eq!(opens_after(limit, "xxx"), Some(3));
        assert_eq!(opens_after(limit, "xx.xx.xxx"), Some(9));
        assert_eq!(opens_after(limit, "xx.xx.xx."), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_is_looked_at_when_there_were_enough_calls_and_moves_with_the_last_ones() {
        let limit = Limit::Share { share: 0.5, calls: 4 };

        assert_eq!(opens_after(limit, "xxx"), None, "too few calls");
        assert_eq!(opens_after(limit, "..xx"), Some(4));
        assert_eq!(opens_after(limit, "x...x...x..x"), Some(12), "the first ones are forgotten");
        assert_eq!(opens_after(limit, "xx.."), None, "never upon a success");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_long_after_the_one_before_counts_as_the_first() {
        let (rule, mut tally) = (rule(Limit::Consecutive(2)), Tally::default());
        assert!(!tally.count(&rule, true));

        tokio::time::advance(Duration::from_secs(61)).await;

        assert!(!tally.count(&rule, true));
        assert!(tally.count(&rule, true));
    }
}
