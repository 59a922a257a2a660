//! [`Verdict`], what the server makes of an outcome.

use std::time::Duration;

use chappe_core::backend::{Action, Capabilities, Delay, Order};
use chappe_core::{Outcome, Reason};

use super::options::{Lanes, Options};

/// What is to be done with a delivery that was handled.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Tell the queue.
    Settle(Action),
    /// Keep it here and try again after the delay; with `open`, those behind it in its lane may pass.
    Hold { delay: Duration, open: bool },
    /// Give it back without blame, and start nothing new for this long.
    Throttle(Duration),
    /// Give it back without blame: its handler was cancelled by the shutdown.
    Abort,
}

/// What of the options and of a queue's capabilities decides.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    backoff: super::Backoff,
    max_attempts: u32,
    dead_letter: bool,
    max_delay: Option<Duration>,
    /// Failures are kept here rather than given back, and close their lane.
    keep_order: bool,
    /// The queue cannot put off a retry.
    no_delay: bool,
    /// A copy of the message is needed after it was handled.
    pub(super) needs_message: bool,
}

impl Judge {
    pub(super) fn new(options: &Options, capabilities: &Capabilities) -> Self {
        // Where the broker keeps the lane closed until the failed message is settled for good, giving it
        // back keeps the order, also across servers.
        let keep_order = options.lanes == Lanes::Ordered && capabilities.order != Order::LaneExclusive;
        let no_delay = capabilities.retry_delay == Delay::None;
        let max_delay = match capabilities.retry_delay {
            Delay::Exact { max } => max,
            _ => None,
        };
        Self {
            backoff: options.backoff,
            max_attempts: options.max_attempts,
            dead_letter: capabilities.dead_letter,
            max_delay,
            keep_order,
            no_delay,
            needs_message: keep_order
                || no_delay
                || capabilities.retry_needs_message
                || capabilities.dead_letter_needs_message,
        }
    }

    /// What is to be done with a message before it is even handled, if its attempts are used up: it may be
    /// the one that kills the process.
    pub(super) fn before(&self, attempt: u32) -> Option<Action> {
        (self.dead_letter && attempt > self.max_attempts).then(|| Action::DeadLetter {
            reason: format!("attempt {attempt} is over the limit of {}", self.max_attempts).into(),
        })
    }

    /// What is to be done with a message after its attempt number `attempt`, with what went wrong.
    pub(super) fn after(&self, outcome: Outcome, attempt: u32, failure: Option<Reason>) -> Verdict {
        match outcome {
            Outcome::Ack => Verdict::Settle(Action::Ack),
            Outcome::Throttle(pause) => Verdict::Throttle(pause),
            Outcome::Reject(reason) if self.dead_letter => Verdict::Settle(Action::DeadLetter { reason }),
            // Nowhere to put it, and nothing is discarded.
            Outcome::Reject(reason) => self.retry(self.backoff.bound(u32::MAX), attempt, Some(reason)),
            Outcome::RetryAfter(pause) => self.retry(pause, attempt, failure),
            // `Outcome` may grow; whatever is not known here is tried again.
            _ => self.retry(self.backoff.delay(attempt), attempt, failure),
        }
    }

    fn retry(&self, delay: Duration, attempt: u32, failure: Option<Reason>) -> Verdict {
        if self.dead_letter && attempt >= self.max_attempts {
            let failure = failure.as_deref().unwrap_or("receiver asked for a retry");
            let reason = format!("attempt {attempt} of {} failed: {failure}", self.max_attempts).into();
            return Verdict::Settle(Action::DeadLetter { reason });
        }
        if self.keep_order {
            return Verdict::Hold { delay, open: false };
        }
        if self.no_delay && !delay.is_zero() {
            return Verdict::Hold { delay, open: true };
        }
        let delay = self.max_delay.map_or(delay, |max| delay.min(max));
        Verdict::Settle(Action::Retry { delay, reason: failure })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Backoff;

    const SECOND: Duration = Duration::from_secs(1);

    fn judge(change: impl FnOnce(&mut Options, &mut Capabilities)) -> Judge {
        let mut options = Options { max_attempts: 3, backoff: Backoff::fixed(SECOND), ..Options::default() };
        let mut capabilities = Capabilities::new();
        capabilities.retry_delay = Delay::Exact { max: Some(SECOND * 60) };
        capabilities.dead_letter = true;
        change(&mut options, &mut capabilities);
        Judge::new(&options, &capabilities)
    }

    fn retry(delay: Duration) -> Verdict {
        Verdict::Settle(Action::Retry { delay, reason: None })
    }

    fn is_dead(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Settle(Action::DeadLetter { .. }))
    }

    #[test]
    fn attempts_end_in_the_dead_letter_if_there_is_one() {
        let with = judge(|_, _| {});
        let without = judge(|_, capabilities| capabilities.dead_letter = false);

        assert_eq!(with.after(Outcome::Retry, 2, None), retry(SECOND));
        assert!(is_dead(&with.after(Outcome::Retry, 3, None)));
        assert_eq!(without.after(Outcome::Retry, 300, None), retry(SECOND));
        assert!(with.before(4).is_some() && with.before(3).is_none());
        assert!(without.before(400).is_none());
    }

    #[test]
    fn a_rejection_without_a_dead_letter_is_retried() {
        let judge = judge(|_, capabilities| capabilities.dead_letter = false);

        let verdict = judge.after(Outcome::reject("bad"), 1, None);

        assert_eq!(verdict, Verdict::Settle(Action::Retry { delay: SECOND, reason: Some("bad".into()) }));
    }

    #[test]
    fn a_delay_is_cut_to_what_the_queue_can_do() {
        assert_eq!(judge(|_, _| {}).after(Outcome::RetryAfter(SECOND * 3600), 1, None), retry(SECOND * 60));
    }

    #[test]
    fn what_the_queue_cannot_put_off_is_held_here() {
        let judge = judge(|_, capabilities| capabilities.retry_delay = Delay::None);

        assert_eq!(judge.after(Outcome::Retry, 1, None), Verdict::Hold { delay: SECOND, open: true });
        assert_eq!(judge.after(Outcome::RetryAfter(Duration::ZERO), 1, None), retry(Duration::ZERO));
    }

    #[test]
    fn order_is_kept_here_unless_the_broker_keeps_it() {
        let here = judge(|options, _| options.lanes = Lanes::Ordered);
        let there = judge(|options, capabilities| {
            options.lanes = Lanes::Ordered;
            capabilities.order = Order::LaneExclusive;
        });

        assert_eq!(here.after(Outcome::Retry, 1, None), Verdict::Hold { delay: SECOND, open: false });
        assert_eq!(there.after(Outcome::Retry, 1, None), retry(SECOND));
    }
}
