//! Publishing one message by its own future, for publishers that batch by themselves.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::driver;
use super::shared::Shared;
use super::verdict::{Backoff, Trial, Verdict};
use crate::backend::{Outgoing, PublishResult, Publisher};
use crate::{Error, Message, Published};

/// Publishes a message, which is pending from now on and until the future is dropped.
pub(super) fn publish<P: Publisher>(
    shared: &Arc<Shared<P>>,
    permit: OwnedSemaphorePermit,
    message: Message,
) -> impl Future<Output = Result<Published, Error>> + Send + 'static + use<P> {
    let bytes = message.size_bytes();
    let pending = Pending { seq: shared.enter(permit, bytes), bytes, shared: Arc::clone(shared) };
    let trial = Trial::until(Instant::now() + shared.options.timeout);
    async move { pending.publish(message, trial).await }
}

struct Pending<P: Publisher> {
    shared: Arc<Shared<P>>,
    seq: u64,
    bytes: usize,
}

impl<P: Publisher> Pending<P> {
    async fn publish(&self, message: Message, mut trial: Trial) -> Result<Published, Error> {
        let publisher = &*self.shared.publisher;
        let has_key = message.key().is_some();
        let dedup = publisher.publish_capabilities().dedup && message.id().is_some();
        let mut batch = [Outgoing::new(message)];
        loop {
            let Ok(called) = timeout_at(trial.deadline, driver::call(publisher, &mut batch)).await else {
                return Err(trial.timed_out().ambiguous());
            };
            let result = std::mem::replace(&mut batch[0].result, PublishResult::Pending);
            match Verdict::new(result, &called, dedup) {
                Verdict::Answer(result) => return trial.conclude(result),
                // Those behind it may be under way already, and would overtake it.
                Verdict::Retry(error) if has_key => return trial.conclude(Err(error)),
                Verdict::Retry(error) => match trial.retry(error, Backoff::new()) {
                    Ok(due) => sleep_until(due).await,
                    Err(error) => return trial.conclude(Err(error)),
                },
            }
        }
    }
}

impl<P: Publisher> Drop for Pending<P> {
    fn drop(&mut self) {
        self.shared.leave(self.seq, self.bytes);
    }
}
