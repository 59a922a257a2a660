use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chappe_core::{Backoff, BoxError, Error, Message, Outcome};
use tokio::time::Instant;
use tower::retry::Policy;
use tower::retry::budget::Budget;

use super::{Repeated, Wait};
use crate::answer::{find, outcome_of};

/// What is tried again, how often, and after how long; see the [module](super).
///
/// For [`RetryLayer`](super::RetryLayer). It may be used with tower's own layer too, around services whose
/// error is a [`BoxError`]; what retries after the lease was lost is then up to the service.
#[derive(Clone)]
pub struct RetryPolicy {
    terms: Terms,
    /// How often the message at hand was tried.
    attempts: u32,
}

#[derive(Clone)]
struct Terms {
    backoff: Backoff,
    longest: Duration,
    max_attempts: u32,
    repeat_ambiguous: bool,
    budget: Option<Arc<dyn Budget + Send + Sync>>,
    predicate: Option<Predicate>,
}

type Predicate = Arc<dyn Fn(&(dyn StdError + 'static)) -> bool + Send + Sync>;

impl RetryPolicy {
    /// Waits up to `first` before the second attempt, and up to twice as long before each other, but never
    /// longer than `longest`; each wait is drawn evenly from zero to that, so that messages that failed
    /// together do not come back together. Three attempts, until [set otherwise](Self::max_attempts).
    #[must_use]
    pub const fn exponential(first: Duration, longest: Duration) -> Self {
        let terms = Terms {
            backoff: Backoff::exponential(first, longest),
            longest,
            max_attempts: 3,
            repeat_ambiguous: false,
            budget: None,
            predicate: None,
        };
        Self { terms, attempts: 0 }
    }

    /// Sets how often a message is tried here, the first time included.
    #[must_use]
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.terms.max_attempts = attempts;
        self
    }

    /// Has retries use up a budget, which successes fill. Shared by all who are given the same one.
    #[must_use]
    pub fn budget(mut self, budget: Arc<impl Budget + Send + Sync + 'static>) -> Self {
        self.terms.budget = Some(budget);
        self
    }

    /// Has only those errors tried again that `predicate` is true of, of those that would be.
    #[must_use]
    pub fn when(mut self, predicate: impl Fn(&(dyn StdError + 'static)) -> bool + Send + Sync + 'static) -> Self {
        self.terms.predicate = Some(Arc::new(predicate));
        self
    }

    /// Has errors tried again that leave open whether the message was sent. Right where the broker refuses
    /// duplicates and the message has an id, or where duplicates do no harm.
    #[must_use]
    pub const fn repeat_ambiguous(mut self) -> Self {
        self.terms.repeat_ambiguous = true;
        self
    }

    /// How long to wait before the message at hand is tried again, given the pause it asked for; `None` if
    /// it is not.
    fn delay(&self, message: &Message, error: Option<&BoxError>, asked: Option<Duration>) -> Option<Duration> {
        let hopeless = error.is_some_and(|error| !self.may_mend(&**error, asked.is_some()));
        if hopeless || self.attempts >= self.terms.max_attempts {
            return None;
        }
        let delay = asked.unwrap_or_else(|| self.terms.backoff.delay(self.attempts));
        (delay <= self.terms.longest && is_wanted_after(message, delay)).then_some(delay)
    }

    /// Whether another attempt may mend an error that means retry. One that asks for a pause says so itself.
    fn may_mend(&self, error: &(dyn StdError + 'static), asks: bool) -> bool {
        let own = find::<Error>(error)
            .is_none_or(|own| (asks || own.is_retryable()) && (self.terms.repeat_ambiguous || !own.is_ambiguous()));
        own && self.terms.predicate.as_ref().is_none_or(|predicate| predicate(error))
    }
}

/// Tower clones the policy for each message, so that each has attempts of its own.
impl<R: 'static> Policy<Message, R, BoxError> for RetryPolicy {
    type Future = Wait;

    fn retry(&mut self, message: &mut Message, answer: &mut Result<R, BoxError>) -> Option<Wait> {
        self.attempts = self.attempts.saturating_add(1);
        let budget = self.terms.budget.as_deref();
        let asked = match *outcome_of(answer) {
            Outcome::Retry => None,
            Outcome::RetryAfter(pause) => Some(pause),
            Outcome::Ack => {
                budget.into_iter().for_each(Budget::deposit);
                return None;
            }
            _ => return None,
        };
        let delay =
            self.delay(message, answer.as_ref().err(), asked).filter(|_| budget.is_none_or(Budget::withdraw))?;
        message.extensions_mut().insert(Repeated(self.attempts));
        Some(Wait::new(delay, message.lease().cloned()))
    }

    fn clone_request(&mut self, message: &Message) -> Option<Message> {
        Some(message.clone())
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("backoff", &self.terms.backoff)
            .field("max_attempts", &self.terms.max_attempts)
            .finish_non_exhaustive()
    }
}

/// Whether a message is still ours and still of use after a delay.
fn is_wanted_after(message: &Message, delay: Duration) -> bool {
    let leased = message.lease().is_none_or(|lease| {
        lease.is_cancelled().is_none()
            && lease
                .deadline()
                .is_none_or(|deadline| Instant::now().checked_add(delay).is_some_and(|due| due < deadline))
    });
    let expires = message.expires();
    leased && expires.is_none_or(|expires| SystemTime::now().checked_add(delay).is_some_and(|due| due < expires))
}
