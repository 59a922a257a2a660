//! Serving from beginning to end: starts the tasks, waits for the reason to stop, and drains in order.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use chappe_core::backend::Queue;
use chappe_core::{Cancelled, Error, ErrorKind};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::handle::{Probe, State};
use super::shared::Shared;
use super::{Report, ServeError, pump, settle, timekeeper};

/// How long a handler that was cancelled, and a fetch that was stopped, may take to be gone.
const ABORT_TIME: Duration = Duration::from_secs(1);

/// How long the last settlements may take, beyond the grace.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// How long a queue may take to close.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// The life of a worker.
pub(super) type WorkerFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves until a shutdown is asked for or an error that no retry can mend.
pub(super) async fn run<Q: Queue>(
    shared: Arc<Shared<Q>>,
    worker: impl Fn(&Arc<Shared<Q>>) -> WorkerFuture + Send,
) -> Result<Report, ServeError> {
    let probe: Arc<dyn Probe> = Arc::<Shared<Q>>::clone(&shared);
    shared.control.attach(Arc::downgrade(&probe));
    drop(probe);
    let mut tasks = Tasks::start(&shared);

    let fatal = tasks.work(&shared, worker).await;

    let began = Instant::now();
    shared.control.enter(State::Draining);
    // The end may come from an error, in which case nobody has asked yet.
    shared.control.request(None);
    let given_up = shared.control.meters.unsettled.get();
    shared.drain();
    tasks.finish_handlers(&shared).await;
    tasks.flush(&shared).await;
    close(&shared).await;
    let leftover = std::mem::take(&mut *shared.leftover());
    let metrics = shared.control.meters.snapshot();
    let report = Report {
        given_up: metrics.unsettled - given_up,
        metrics,
        aborted: leftover.aborted,
        unsettled: leftover.unsettled,
        drain: began.elapsed(),
    };
    tracing::info!(%report, "server stopped");
    match fatal {
        Some(error) => Err(ServeError::fatal(error, report)),
        None if report.is_clean() => Ok(report),
        None => Err(ServeError::deadline(report)),
    }
}

/// The tasks of a server. Dropping them, as when serving itself is dropped, aborts them all.
struct Tasks {
    pumps: JoinSet<Result<(), Error>>,
    workers: JoinSet<()>,
    settlers: JoinSet<()>,
    timekeeper: JoinSet<()>,
}

impl Tasks {
    fn start<Q: Queue>(shared: &Arc<Shared<Q>>) -> Self {
        let mut tasks = Self {
            pumps: JoinSet::new(),
            workers: JoinSet::new(),
            settlers: JoinSet::new(),
            timekeeper: JoinSet::new(),
        };
        tasks.timekeeper.spawn(timekeeper::run(Arc::clone(shared)));
        for line in 0..shared.sources.len() {
            tasks.settlers.spawn(settle::run(Arc::clone(shared), line));
            tasks.pumps.spawn(pump::run(Arc::clone(shared), line));
        }
        tasks
    }

    /// Adds workers as they are wanted, until there is a reason to stop. Returns the error, if it is one.
    async fn work<Q: Queue>(
        &mut self,
        shared: &Arc<Shared<Q>>,
        worker: impl Fn(&Arc<Shared<Q>>) -> WorkerFuture + Send,
    ) -> Option<Error> {
        let mut shutdown = shared.control.shutdown();
        loop {
            tokio::select! {
                biased;
                _ = shutdown.wait_for(Option::is_some) => return None,
                Some(ended) = self.pumps.join_next(), if !self.pumps.is_empty() => match ended {
                    // Every queue has come to its end: so has the server.
                    Ok(Ok(())) if self.pumps.is_empty() => return None,
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Some(error),
                    Err(panic) => return Some(Error::new(ErrorKind::Other, "fetching panicked").with_source(panic)),
                },
                Some(ended) = self.workers.join_next(), if !self.workers.is_empty() => {
                    // Only a panic in the drop of a user's future gets here; the messages went back.
                    if let Err(error) = ended {
                        tracing::error!(%error, "worker ended, another takes its place");
                    }
                    shared.schedule().dismiss();
                }
                () = shared.foreman.notified() => {
                    let hired = shared.schedule().hire();
                    for _ in 0..hired {
                        self.workers.spawn(worker(shared));
                    }
                }
            }
        }
    }

    /// Waits for handlers and fetches until the deadline, then cancels what is left.
    async fn finish_handlers<Q: Queue>(&mut self, shared: &Arc<Shared<Q>>) {
        let mut shutdown = shared.control.shutdown();
        let cancelled = {
            let mut ended = pin!(async {
                while self.workers.join_next().await.is_some() {}
                while self.pumps.join_next().await.is_some() {}
            });
            loop {
                let asked = *shutdown.borrow_and_update();
                let deadline = asked.map_or_else(Instant::now, |shutdown| shutdown.deadline(shared.options.grace));
                tokio::select! {
                    biased;
                    () = &mut ended => return,
                    () = sleep_until(deadline) => break,
                    // Brought forward.
                    Ok(()) = shutdown.changed() => {}
                }
            }
            tracing::warn!("shutdown passed its deadline, handlers are cancelled");
            shared.schedule().cancel_all(Cancelled::Shutdown);
            shared.abort.stop();
            timeout(ABORT_TIME, ended).await
        };
        if cancelled.is_err() {
            // A handler that blocks its thread cannot be cancelled. Its message goes back all the same.
            self.workers.abort_all();
            self.pumps.abort_all();
            let left = shared.schedule().abandon();
            shared.control.meters.aborted.add(left.len() as u64);
            shared.leftover().aborted.extend(left.iter().filter_map(|slot| slot.id.clone()));
            shared.release(left);
        }
    }

    /// Waits until everything is settled, for as long as that may take.
    async fn flush<Q: Queue>(&mut self, shared: &Arc<Shared<Q>>) {
        shared.sources.iter().for_each(|source| source.settle.close());
        let deadline = Instant::now() + FLUSH_TIME;
        let settlers = &mut self.settlers;
        let flushed = async { while settlers.join_next().await.is_some() {} };
        if timeout_at(deadline, flushed).await.is_err() {
            tracing::warn!("settling is given up, the rest is delivered again");
            shared.give_up.stop();
            while self.settlers.join_next().await.is_some() {}
        }
        self.timekeeper.abort_all();
    }
}

async fn close<Q: Queue>(shared: &Shared<Q>) {
    for source in &shared.sources {
        let queue = source.queue.destination();
        match timeout(CLOSE_TIME, source.queue.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, queue, "queue could not be closed"),
            Err(_) => tracing::warn!(queue, "queue took too long to close"),
        }
    }
}
