//! The task that calls the publisher while there is something to publish.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::future::shut_down;
use super::queue::Flight;
use super::shared::{Next, Progress, Shared, Wanted};
use super::verdict::{Backoff, Called, Verdict};
use crate::backend::{Outgoing, PublishResult, Publisher};

/// Starts a worker, which `shared` has counted already.
pub(super) fn start<P: Publisher>(shared: &Arc<Shared<P>>, runtime: &Handle) {
    // Made before it is spawned: a runtime that is shutting down drops it without polling it.
    let worker = Worker { shared: Arc::clone(shared), flight: Flight::default(), asleep: false, ended: false };
    drop(runtime.spawn(worker.run()));
}

/// Calls the publisher, and catches it when it panics.
pub(super) async fn call<P: Publisher>(publisher: &P, batch: &mut [Outgoing]) -> Called {
    Called::new(AssertUnwindSafe(async { publisher.publish(batch).await }).catch_unwind().await)
}

struct Worker<P: Publisher> {
    shared: Arc<Shared<P>>,
    flight: Flight,
    asleep: bool,
    ended: bool,
}

impl<P: Publisher> Worker<P> {
    async fn run(mut self) {
        loop {
            let asleep = std::mem::take(&mut self.asleep);
            let (next, wanted) = self.shared.next(&mut self.flight, asleep);
            if matches!(wanted, Wanted::Worker) {
                start(&self.shared, &Handle::current());
            }
            match next {
                Next::Publish => {
                    let called = self.publish().await;
                    let progress = self.judge(&called);
                    self.shared.finish(&mut self.flight, progress);
                    // A publisher that never waits must not keep the thread from others.
                    tokio::task::consume_budget().await;
                }
                Next::Wait(until) => {
                    self.asleep = true;
                    // Woken or not: what is to be done is found out anew.
                    let _ = timeout_at(until, self.shared.wake.notified()).await;
                }
                Next::End => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    /// Makes the call, for as long as somebody waits for an answer.
    async fn publish(&mut self) -> Called {
        let Flight { tickets, batch, .. } = &mut self.flight;
        let mut call = pin!(call(&*self.shared.publisher, batch));
        loop {
            let waiting = tickets.iter().filter(|ticket| !ticket.is_answered());
            let Some(deadline) = waiting.map(|ticket| ticket.trial.deadline).min() else { return Called::Done };
            if let Ok(called) = timeout_at(deadline, call.as_mut()).await {
                return called;
            }
            let now = Instant::now();
            for ticket in tickets.iter_mut().filter(|ticket| ticket.trial.deadline <= now) {
                let error = ticket.trial.timed_out().ambiguous();
                ticket.answer(Err(error));
            }
        }
    }

    /// Answers what has its result; what has not is to be tried again.
    fn judge(&mut self, called: &Called) -> Progress {
        let dedup = self.shared.publisher.publish_capabilities().dedup;
        let backoff = Backoff::new();
        let mut accepted = false;
        let mut asked = None;
        let mut retries = 0_usize;
        for (ticket, outgoing) in self.flight.tickets.iter_mut().zip(&mut self.flight.batch) {
            let result = std::mem::replace(&mut outgoing.result, PublishResult::Pending);
            match Verdict::new(result, called, dedup && outgoing.message.id().is_some()) {
                Verdict::Answer(result) => {
                    accepted |= result.is_ok();
                    ticket.answer(result);
                }
                Verdict::Retry(error) => {
                    let pause = error.retry_after();
                    // The shortest pause that anybody was asked for.
                    asked = if retries == 0 { pause } else { asked.min(pause) };
                    retries += 1;
                    match ticket.trial.retry(error, backoff) {
                        Ok(due) if !ticket.is_abandoned() => ticket.due = Some(due),
                        Ok(_) => ticket.abandon(),
                        Err(error) => ticket.answer(Err(error)),
                    }
                }
            }
        }
        if retries > 0 {
            tracing::debug!(target: "chappe::batch", retries, of = self.flight.batch.len(), "publishing is retried");
        }
        if accepted || retries == 0 { Progress::Some } else { Progress::None { backoff, asked } }
    }
}

impl<P: Publisher> Drop for Worker<P> {
    fn drop(&mut self) {
        if !self.ended {
            for ticket in &mut self.flight.tickets {
                ticket.answer(Err(shut_down().ambiguous()));
            }
            self.shared.abort(&mut self.flight, self.asleep, shut_down);
        }
    }
}
