//! The pump: fetches from one queue what there is room for, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use chappe_core::Error;
use chappe_core::backend::{ConsumeOptions, Consumer, Fetch, Queue};
use tokio::time::{Instant, sleep};

use super::Backoff;
use super::schedule::Unstarted;
use super::shared::Shared;

/// How long a failed fetch waits, unless the broker says.
const AGAIN: Backoff = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(10));

/// Fetches until the server stops, or an error that no retry can mend. A fetch that has begun is never
/// dropped: it may have messages in its hands.
pub(super) async fn run<Q: Queue>(shared: Arc<Shared<Q>>, line: usize) -> Result<(), Error> {
    let queue = &shared.sources[line].queue;
    let stop = shared.stop.token();
    let Some(mut consumer) = connect(&shared, line).await? else { return Ok(()) };
    let max_fetch = queue.capabilities().max_fetch;
    let bell = shared.schedule().pump_bell(line);
    let mut fetched = Vec::new();
    let mut unstarted = Unstarted::default();
    let mut failures = 0;
    loop {
        let mut room = shared.schedule().room(line);
        while room == 0 && !stop.is_stopped() {
            tokio::select! {
                () = bell.notified() => {}
                () = stop.stopped() => {}
            }
            room = shared.schedule().room(line);
        }
        // Stopped, it is asked all the same: it may have to return what it holds.
        let max = if room == 0 { max_fetch } else { room };
        let result = consumer.fetch(max, &mut fetched).await;
        if !fetched.is_empty() {
            shared.control.meters.fetched.add(fetched.len() as u64);
            shared.schedule().admit(line, &mut fetched, Instant::now(), &mut unstarted);
            shared.sort_out(&mut unstarted);
        }
        match result {
            Ok(Fetch::Stopped) => return Ok(()),
            Ok(_) => {
                shared.control.fetched(line, Ok(()));
                failures = 0;
                // A queue that always has messages must not keep the thread to itself.
                tokio::task::coop::consume_budget().await;
            }
            Err(error) => {
                failures += 1;
                if stop.is_stopped() {
                    return Ok(());
                }
                wait(&shared, line, error, failures).await?;
            }
        }
    }
}

/// Connects, however long it takes. `None` if the server was stopped before.
async fn connect<Q: Queue>(shared: &Shared<Q>, line: usize) -> Result<Option<Q::Consumer>, Error> {
    let stop = shared.stop.token();
    let mut failures = 0;
    while !stop.is_stopped() {
        let mut options = ConsumeOptions::new(shared.stop.token(), shared.options.max_unsettled());
        options.name.clone_from(&shared.options.name);
        // Nothing is fetched before this resolves, so nothing is lost when it is dropped.
        let connected = tokio::select! {
            connected = shared.sources[line].queue.consume(options) => connected,
            () = stop.stopped() => break,
        };
        match connected {
            Ok(consumer) => {
                shared.control.fetched(line, Ok(()));
                shared.connected();
                return Ok(Some(consumer));
            }
            Err(error) => {
                failures += 1;
                wait(shared, line, error, failures).await?;
            }
        }
    }
    Ok(None)
}

/// Waits after a failure, or until the server stops; returns the error if waiting is of no use.
async fn wait<Q: Queue>(shared: &Shared<Q>, line: usize, error: Error, failures: u32) -> Result<(), Error> {
    let queue = shared.sources[line].queue.destination();
    shared.control.meters.fetch_errors.add(1);
    shared.control.fetched(line, Err(error.to_string().into()));
    if !error.is_retryable() {
        tracing::error!(error = %error, queue, "fetching failed for good");
        return Err(error);
    }
    let pause = error.retry_after().unwrap_or_else(|| AGAIN.delay(failures));
    tracing::warn!(error = %error, queue, ?pause, "fetching failed");
    let stop = shared.stop.token();
    tokio::select! {
        () = sleep(pause) => {}
        () = stop.stopped() => {}
    }
    Ok(())
}
