//! [`Tap`], a consumer that can be waited for without dropping a fetch.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chappe_core::Error;
use chappe_core::backend::{ConsumeOptions, Consumer, Delivery, Fetch, Queue, StopSource, StopToken};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::harness::Timing;

/// How long after a failed fetch the next is tried.
const AGAIN: Duration = Duration::from_millis(20);
/// How many deliveries a tap declares to hold at most, unless it is told otherwise.
const UNSETTLED: usize = 256;

/// Fetches in a task of its own, so that a case can look for a message for a time. Dropping it is a crash.
pub(crate) struct Tap<Q: Queue> {
    wanted: mpsc::Sender<usize>,
    batches: mpsc::Receiver<Vec<Delivery<Q::Receipt>>>,
    asked: bool,
    stop: StopSource,
    task: JoinSet<Result<Vec<Delivery<Q::Receipt>>, Error>>,
    error: Arc<Mutex<Option<Error>>>,
    patience: Duration,
    silence: Duration,
    stopping: Duration,
}

impl<Q: Queue> Tap<Q> {
    pub(crate) async fn open(queue: &Q, timing: &Timing) -> Result<Self, Error> {
        let stop = StopSource::new();
        let unsettled = UNSETTLED.try_into().expect("it is not zero");
        let consumer = queue.consume(ConsumeOptions::new(stop.token(), unsettled)).await?;
        let (wanted, requests) = mpsc::channel(1);
        let (results, batches) = mpsc::channel(1);
        let error = Arc::default();
        let mut task = JoinSet::new();
        task.spawn(fetch_on_request(consumer, stop.token(), requests, results, Arc::clone(&error)));
        let (patience, silence, stopping) = (timing.patience, timing.silence, timing.stop);
        Ok(Self { wanted, batches, asked: false, stop, task, error, patience, silence, stopping })
    }

    /// The next delivery, which must come.
    pub(crate) async fn one(&mut self) -> Delivery<Q::Receipt> {
        self.take(1).await.remove(0)
    }

    /// The next so many deliveries, which must come.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Delivery<Q::Receipt>> {
        let patience = self.patience;
        self.take_within(count, patience).await
    }

    /// The next so many deliveries, which must come within a time.
    pub(crate) async fn take_within(&mut self, count: usize, within: Duration) -> Vec<Delivery<Q::Receipt>> {
        let deliveries = self.up_to(count, within).await;
        if deliveries.len() < count {
            let error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
            panic!("{} of {count} messages came within {within:?}; last error: {:?}", deliveries.len(), *error);
        }
        deliveries
    }

    /// At most so many deliveries, as many as come within a time.
    pub(crate) async fn up_to(&mut self, count: usize, within: Duration) -> Vec<Delivery<Q::Receipt>> {
        let until = Instant::now() + within;
        let mut deliveries = Vec::new();
        while deliveries.len() < count {
            if !self.asked {
                self.asked = self.wanted.send(count - deliveries.len()).await.is_ok();
            }
            match timeout_at(until, self.batches.recv()).await {
                Ok(Some(batch)) => {
                    self.asked = false;
                    deliveries.extend(batch);
                }
                Ok(None) | Err(_) => break,
            }
        }
        deliveries
    }

    /// Checks that nothing comes.
    pub(crate) async fn silent(&mut self) {
        let silence = self.silence;
        self.silent_for(silence).await;
    }

    /// Checks that nothing comes for a time.
    pub(crate) async fn silent_for(&mut self, silence: Duration) {
        let deliveries = self.up_to(1, silence).await;
        let messages: Vec<_> = deliveries.iter().map(|delivery| &delivery.message).collect();
        assert!(messages.is_empty(), "came when nothing should: {messages:?}");
    }

    /// Stops the consumer, which must say so soon, and hands out what it had leased.
    pub(crate) async fn stop(self) -> Vec<Delivery<Q::Receipt>> {
        self.stop.stop();
        let ask = self.wanted.clone();
        // A consumer that is not being asked is asked once more: that is when it can say that it stopped.
        tokio::spawn(async move { ask.send(1).await });
        let Self { mut batches, mut task, stopping, .. } = self;
        let stopped = timeout(stopping, async {
            let mut rest = Vec::new();
            while let Some(batch) = batches.recv().await {
                rest.extend(batch);
            }
            let ended = task.join_next().await.expect("the task was spawned").expect("the consumer panicked");
            rest.extend(ended.unwrap_or_else(|error| panic!("the consumer failed instead of stopping: {error:?}")));
            rest
        });
        stopped.await.unwrap_or_else(|_| panic!("the consumer did not stop within {stopping:?}"))
    }
}

/// Fetches when asked, until the consumer says that it has stopped; answers with what came with that.
async fn fetch_on_request<C: Consumer>(
    mut consumer: C,
    stop: StopToken,
    mut requests: mpsc::Receiver<usize>,
    results: mpsc::Sender<Vec<Delivery<C::Receipt>>>,
    last: Arc<Mutex<Option<Error>>>,
) -> Result<Vec<Delivery<C::Receipt>>, Error> {
    let mut next = requests.recv().await;
    while let Some(max) = next {
        let mut batch = Vec::new();
        let fetched = consumer.fetch(max, &mut batch).await;
        assert!(batch.len() <= max, "fetch returned {} messages when asked for {max}", batch.len());
        match fetched {
            Ok(Fetch::Stopped) => return Ok(batch),
            Ok(_) => {}
            Err(error) => {
                if !error.is_retryable() {
                    return Err(error);
                }
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                sleep(AGAIN).await;
            }
        }
        if !batch.is_empty() {
            if results.send(batch).await.is_err() {
                break;
            }
            // One that prefetches may have more to hand out before it says that it has stopped.
            next = if stop.is_stopped() { Some(max) } else { requests.recv().await };
        }
    }
    Ok(Vec::new())
}
