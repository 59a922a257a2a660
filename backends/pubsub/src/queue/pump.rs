//! [`Pump`], the task that reads a subscription for one consumer.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use chappe_core::backend::Delivery;
use chappe_core::{Backoff, Error, ErrorKind};
use futures_util::{Stream, stream};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use super::receipt::PubsubReceipt;
use super::settle::whole_seconds;
use super::shared::Shared;
use super::stock::Stock;
use super::wire::modify;
use crate::client::ANSWER;
use crate::error::{PULL, classify};
use crate::limit::MAX_IDS;
use crate::proto::{ReceivedMessage, StreamingPullRequest, StreamingPullResponse};
use crate::wire::Decoder;

/// How often a stream on which nothing is to be said is kept open.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// How long a stream that was told to end may go on delivering.
const LINGER: Duration = Duration::from_secs(1);
/// How long a stream lasts that was no failure: Pub/Sub ends each after a while.
const WORTHWHILE: Duration = Duration::from_secs(10);
/// The pause after a stream that lasted, and those after streams that did not.
const AT_ONCE: Backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_millis(100)).at_least_half();
const AGAIN: Backoff = Backoff::exponential(Duration::from_millis(500), Duration::from_secs(30)).at_least_half();
/// How long a stream lasts at least before another takes its place.
const ROTATE: Duration = Duration::from_secs(1);
/// How much earlier than it arrived a message may have been leased.
const TRANSIT: Duration = Duration::from_secs(1);

/// Reads streams, one after the other, into a stock, and renews the leases of what waits there. Runs in a task of its
/// own until it is told to stop, and is never cancelled: what a stream had under way would be lost to everybody until
/// its lease is over.
pub(super) struct Pump {
    pub(super) shared: Arc<Shared>,
    pub(super) stock: Arc<Stock>,
    pub(super) decoder: Decoder,
    /// The most messages Pub/Sub may have delivered here and not heard of again.
    pub(super) window: usize,
    pub(super) client_id: String,
    pub(super) stop: CancellationToken,
    /// Set when what was held is given back.
    pub(super) returned: CancellationToken,
}

/// How a stream ended.
enum Ended {
    Stopped,
    /// Another is to take its place.
    Crowded,
    Failed(Error),
}

impl Pump {
    pub(super) async fn run(self) {
        let give_back = async {
            self.stop.cancelled().await;
            self.shared.release(&self.stock.close()).await;
            self.returned.cancel();
        };
        tokio::join!(self.read(), self.keep(), give_back);
    }

    /// Reads streams until it is told to stop or there is no use in going on.
    async fn read(&self) {
        let mut failures = 0_u32;
        let mut missing_since = None;
        let mut opened = Instant::now();
        let mut ended = self.stream().await;
        loop {
            let error = match ended {
                Ended::Stopped => return,
                Ended::Crowded => {
                    ended = self.stream().await;
                    continue;
                }
                Ended::Failed(error) => error,
            };
            if opened.elapsed() >= WORTHWHILE {
                failures = 0;
                missing_since = None;
            }
            self.shared.status.down(&error);
            let pause = if failures == 0 { AT_ONCE.delay(1) } else { AGAIN.delay(failures) };
            failures = failures.saturating_add(1);
            let error = match error.kind() {
                ErrorKind::NotFound => {
                    let since: Instant = *missing_since.get_or_insert_with(Instant::now);
                    error.retryable(since.elapsed() < self.shared.options.missing_grace)
                }
                // Permissions and new credentials take their time to get around, and are somebody's to mend.
                ErrorKind::PermissionDenied => error.retryable(true),
                _ => error,
            };
            let over = !error.is_retryable();
            tracing::debug!(%error, ?pause, subscription = self.shared.target.name(), "stream has ended");
            // The first is normal: Pub/Sub ends streams, and connections break.
            if failures > 1 || over {
                self.stock.fail(error.with_retry_after(pause));
            }
            if over || self.stop.is_cancelled() || timeout(pause, self.stop.cancelled()).await.is_ok() {
                return;
            }
            opened = Instant::now();
            ended = match self.shared.look().await {
                Ok(()) => {
                    opened = Instant::now();
                    self.stream().await
                }
                Err(error) => Ended::Failed(error),
            };
        }
    }

    /// Reads one stream to its end.
    async fn stream(&self) -> Ended {
        let half_close = CancellationToken::new();
        let requests = requests(self.first_request(), half_close.clone());
        self.stock.begin();
        let begun = Instant::now();
        let opening = self.shared.client.stream::<_, StreamingPullResponse>(PULL, &self.shared.target, requests);
        let mut opening = Box::pin(opening);
        // Servers may answer only when there is a message, so that this takes as long as there is none. What they do
        // not refuse within the time of any answer is taken for open.
        let unrefused = async {
            sleep(ANSWER).await;
            self.shared.status.up();
            pending::<Infallible>().await
        };
        let opened = tokio::select! {
            opened = &mut opening => opened,
            never = unrefused => match never {},
            () = self.stop.cancelled() => {
                half_close.cancel();
                match timeout(LINGER, opening).await {
                    Ok(opened) => opened,
                    Err(_) => return Ended::Stopped,
                }
            }
        };
        let failed = |status: &tonic::Status| Ended::Failed(classify(status, PULL, &self.shared.target));
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(status) => return failed(&status),
        };
        self.shared.status.up();
        loop {
            let crowded = async {
                sleep_until(begun + ROTATE).await;
                self.stock.crowded().await;
            };
            let message = tokio::select! {
                biased;
                () = self.stop.cancelled() => Err(Ended::Stopped),
                message = next(&mut stream, &self.stock) => Ok(message),
                () = crowded => Err(Ended::Crowded),
            };
            let message = match message {
                Ok(message) => message,
                Err(ended) => {
                    half_close.cancel();
                    self.drain(stream).await;
                    return ended;
                }
            };
            match message {
                Ok(Some(response)) => {
                    self.stock.recovered();
                    self.take_in(response.received_messages).await;
                }
                Ok(None) => {
                    let text = format!("the stream of subscription {} was ended", self.shared.target.name());
                    return Ended::Failed(Error::new(ErrorKind::Unavailable, text));
                }
                Err(status) => return failed(&status),
            }
        }
    }

    /// Reads what is still under way. It goes back if nobody will ask for it.
    async fn drain(&self, mut stream: Streaming<StreamingPullResponse>) {
        let until = Instant::now() + LINGER;
        while let Ok(Ok(Some(response))) = timeout_at(until, stream.message()).await {
            self.take_in(response.received_messages).await;
        }
    }

    async fn take_in(&self, received: Vec<ReceivedMessage>) {
        let Shared { options, status, .. } = &*self.shared;
        let now = Instant::now();
        let lease = options.lease.saturating_sub(TRANSIT.min(options.lease / 4));
        let mut deliveries = Vec::with_capacity(received.len());
        for received in received {
            let (message, ack_id) = self.decoder.decode(received);
            let key = message.key().filter(|_| self.stock.is_ordered()).cloned();
            let receipt = PubsubReceipt::new(ack_id.into(), now, lease, message.id().cloned(), key, &self.stock);
            deliveries.push(Delivery::new(message, receipt));
        }
        status.count_received(deliveries.len() as u64);
        let refused = self.stock.admit(deliveries);
        if !refused.is_empty() {
            let receipts: Vec<_> = refused.into_iter().map(|delivery| delivery.receipt).collect();
            self.shared.release(&receipts).await;
        }
    }

    /// Renews the leases of what nobody has asked for yet, until nothing is left.
    async fn keep(&self) {
        let lease = self.shared.options.lease;
        loop {
            let stopped = timeout(lease / 4, self.stop.cancelled()).await.is_ok();
            let held = self.stock.held();
            if stopped && held.is_empty() {
                return;
            }
            let now = Instant::now();
            let (due, too_long): (Vec<_>, Vec<_>) = held
                .into_iter()
                .filter(|receipt| receipt.lease().until() <= now + lease * 2 / 3)
                .partition(|receipt| receipt.lease().age(now) + lease <= self.shared.options.max_hold);
            if !too_long.is_empty() {
                let count = too_long.len();
                tracing::debug!(count, "messages nobody has asked for are let go");
            }
            for part in due.chunks(MAX_IDS) {
                let now = Instant::now();
                match modify(&self.shared, part, whole_seconds(lease)).await {
                    Ok(_) => part.iter().for_each(|receipt| receipt.lease().extend(now + lease)),
                    Err(error) => tracing::warn!(%error, "leases of messages that wait could not be renewed"),
                }
            }
            if stopped {
                sleep(lease / 4).await;
            }
        }
    }

    fn first_request(&self) -> StreamingPullRequest {
        StreamingPullRequest {
            subscription: self.shared.target.full().to_string(),
            stream_ack_deadline_seconds: whole_seconds(self.shared.options.lease),
            client_id: self.client_id.clone(),
            max_outstanding_messages: i64::try_from(self.window).unwrap_or(i64::MAX),
            max_outstanding_bytes: i64::try_from(self.shared.options.max_bytes).unwrap_or(i64::MAX),
        }
    }
}

/// The next of a stream, once there is room for it.
async fn next(
    stream: &mut Streaming<StreamingPullResponse>,
    stock: &Stock,
) -> Result<Option<StreamingPullResponse>, tonic::Status> {
    stock.room().await;
    stream.message().await
}

/// The request that opens a stream, those that keep it open, and the end.
fn requests(
    first: StreamingPullRequest,
    end: CancellationToken,
) -> impl Stream<Item = StreamingPullRequest> + Send + 'static {
    stream::unfold(Some(first), move |first| {
        let end = end.clone();
        async move {
            match first {
                Some(first) => Some((first, None)),
                None => match timeout(HEARTBEAT, end.cancelled()).await {
                    Ok(()) => None,
                    Err(_) => Some((StreamingPullRequest::default(), None)),
                },
            }
        }
    })
}
