//! [`SqsConsumer`], long polls in parallel.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use chappe_core::backend::{Consumer, Delivery, Fetch, StopToken};
use chappe_core::{Backoff, Error, ErrorKind};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::groups::Groups;
use super::poll::{Haul, Poller};
use super::receipt::SqsReceipt;
use crate::limit::MAX_BATCH;
use crate::wire::fresh_id;

/// The pauses after a failure that comes of what we ask for, rather than of the network.
const AGAIN: Backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(30)).at_least_half();

/// Fetches from an [`SqsQueue`](crate::SqsQueue) by long polls.
///
/// One poll waits while the queue is empty. When a poll comes back full, more run beside it, as many as
/// there is room for; all ask for no more together than the fetch may bring. A poll that runs is never
/// dropped, as SQS would give it messages all the same: dropping the consumer leaves its polls to end by
/// themselves and to give back what they bring, for as long as the runtime lives.
pub struct SqsConsumer {
    poller: Poller,
    stop: StopToken,
    polls: FuturesUnordered<Running>,
    /// How many messages the running polls ask for.
    asked: usize,
    /// How many polls may run.
    width: usize,
    /// The most that may be unsettled.
    limit: usize,
    /// What came and was not handed out yet.
    stock: VecDeque<Delivery<SqsReceipt>>,
    /// Of a FIFO queue.
    groups: Option<Arc<Groups>>,
    /// The name of a receive whose answer was lost.
    lost: Option<String>,
    failures: u32,
    missing_since: Option<Instant>,
}

/// A poll that runs, in a task of its own.
struct Running {
    asked: usize,
    attempt: Option<String>,
    task: JoinHandle<Result<Haul, Error>>,
}

/// How a poll ended.
struct Ended {
    asked: usize,
    attempt: Option<String>,
    result: Result<Haul, Error>,
}

impl SqsConsumer {
    pub(super) fn new(poller: Poller, stop: StopToken, limit: usize) -> Self {
        let groups = poller.shared.target.is_fifo().then(Arc::default);
        Self {
            poller,
            stop,
            polls: FuturesUnordered::new(),
            asked: 0,
            width: 1,
            limit,
            stock: VecDeque::new(),
            groups,
            lost: None,
            failures: 0,
            missing_since: None,
        }
    }

    /// Moves what may be handed out to `out`; what has lain here beyond its lease is somebody else's.
    fn hand_out(&mut self, max: usize, out: &mut Vec<Delivery<SqsReceipt>>) {
        let now = Instant::now();
        while out.len() < max {
            let Some(delivery) = self.stock.pop_front() else { break };
            if !delivery.receipt.lease().is_over(now) {
                out.push(delivery);
            }
        }
        if let Some(groups) = &self.groups {
            groups.hand_out(max, out);
        }
    }

    /// Starts as many polls as there is room and reason for.
    fn start(&mut self, max: usize) {
        let most = self.poller.shared.options.max_polls;
        // What waits for its turn is unsettled, too. One message is always asked for, so that a group that
        // is slow cannot keep the others out.
        let held = self.groups.as_ref().map_or(0, |groups| groups.held());
        let bound = self.limit.saturating_sub(held).max(usize::from(held < 2 * self.limit));
        let mut room = max.min(bound).saturating_sub(self.asked);
        while room > 0 && self.polls.len() < self.width.min(most) {
            // A poll for a few costs as much as one for ten: beside others it waits until there is room.
            if room < MAX_BATCH && !self.polls.is_empty() {
                break;
            }
            let asked = room.min(MAX_BATCH);
            let attempt = self.groups.is_some().then(|| self.lost.take().unwrap_or_else(fresh_id));
            let task = tokio::spawn(self.poller.clone().poll(asked, attempt.clone()));
            self.polls.push(Running { asked, attempt, task });
            self.asked += asked;
            room -= asked;
        }
    }

    /// Takes in how a poll ended. `true` if it brought something.
    fn take_in(&mut self, ended: Ended) -> Result<bool, Error> {
        self.asked -= ended.asked;
        let mut haul = match ended.result {
            Ok(haul) => haul,
            Err(error) => {
                // By its name it brings the same messages again, if it had any.
                self.lost = ended.attempt.filter(|_| error.kind() != ErrorKind::Throttled);
                return Err(self.failed(error));
            }
        };
        self.failures = 0;
        self.missing_since = None;
        self.poller.shared.status.up();
        let count = haul.deliveries.len();
        self.width = match count {
            0 => 1,
            full if full >= ended.asked => (self.width * 2).min(self.poller.shared.options.max_polls),
            _ => self.width,
        };
        for mut delivery in haul.deliveries.drain(..) {
            match (&self.groups, delivery.message.extensions().get::<crate::SqsMetadata>()) {
                (Some(groups), Some(crate::SqsMetadata { group: Some(group), .. })) => {
                    let group = Arc::clone(group);
                    delivery.receipt = delivery.receipt.grouped(groups, Arc::clone(&group));
                    groups.admit(group, delivery);
                }
                _ => self.stock.push_back(delivery),
            }
        }
        Ok(count > 0)
    }

    /// Says how long to wait where the server could not know.
    fn failed(&mut self, error: Error) -> Error {
        let shared = &self.poller.shared;
        shared.status.down(&error);
        self.failures = self.failures.saturating_add(1);
        self.width = 1;
        let pause = AGAIN.delay(self.failures);
        match error.kind() {
            // Permissions and new credentials take their time to get around, and are somebody's to mend.
            ErrorKind::Throttled | ErrorKind::PermissionDenied => error.retryable(true).with_retry_after(pause),
            ErrorKind::NotFound => {
                let since = *self.missing_since.get_or_insert_with(Instant::now);
                let wait = since.elapsed() < shared.options.missing_grace;
                if wait { error.retryable(true).with_retry_after(pause) } else { error }
            }
            _ => error,
        }
    }
}

impl Consumer for SqsConsumer {
    type Receipt = SqsReceipt;

    async fn fetch(&mut self, max: usize, out: &mut Vec<Delivery<SqsReceipt>>) -> Result<Fetch, Error> {
        let max = max + out.len();
        loop {
            let before = out.len();
            let stopped = self.stop.is_stopped();
            if let (true, Some(groups)) = (stopped, &self.groups) {
                // Nothing more is handled here: what waits for its turn goes back as well.
                self.stock.extend(groups.empty());
            }
            self.hand_out(max, out);
            if out.len() > before {
                return Ok(Fetch::More);
            }
            if stopped && self.polls.is_empty() {
                return Ok(Fetch::Stopped);
            }
            if !stopped {
                self.start(max - before);
            }
            tokio::select! {
                biased;
                Some(ended) = self.polls.next() => {
                    let brought = self.take_in(ended);
                    // Stopped, there is nobody left to hear of it: the next look says that this is the end.
                    if !stopped && !brought? {
                        return Ok(Fetch::Idle);
                    }
                }
                () = changed(self.groups.as_deref()) => {}
                () = self.stop.stopped(), if !stopped => {}
            }
        }
    }
}

impl Drop for SqsConsumer {
    fn drop(&mut self) {
        let mut left: Vec<_> = self.stock.drain(..).collect();
        left.extend(self.groups.iter().flat_map(|groups| groups.empty()));
        drop(Haul::new(Arc::clone(&self.poller.shared), left));
    }
}

impl fmt::Debug for SqsConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsConsumer")
            .field("queue", &self.poller.shared.target.url())
            .field("polls", &self.polls.len())
            .finish_non_exhaustive()
    }
}

impl Future for Running {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        self.task.poll_unpin(cx).map(|joined| {
            let result = joined.unwrap_or_else(|error| {
                Err(Error::new(ErrorKind::Other, "a poll did not end by itself").with_source(error))
            });
            Ended { asked: self.asked, attempt: self.attempt.take(), result }
        })
    }
}

async fn changed(groups: Option<&Groups>) {
    match groups {
        Some(groups) => groups.changed().await,
        None => std::future::pending().await,
    }
}
