//! What has to be looked after while a queue is consumed: delays that are over, and leases of consumers that
//! did not come back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chappe_core::Error;
use redis::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::shared::Shared;
use crate::error::SCHEDULE;
use crate::script;
use crate::wire::{EntryId, int, millis};

/// How many messages one step moves.
const STEP: usize = 200;
/// The longest time between two looks, and the shortest.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The pause after a look that failed.
const BACKOFF: Duration = Duration::from_secs(1);
/// How often consumers that are gone are looked for, and how long one must not have been heard of.
const FORGOTTEN: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(3600));

/// Looks after a queue until it is dropped.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    marks: Marks,
    task: JoinHandle<()>,
}

/// The entries that were read and only say that something is due earlier.
type Marks = Arc<Mutex<Vec<EntryId>>>;

impl Keeper {
    pub(super) fn start(shared: &Arc<Shared>) -> Self {
        let marks = Marks::default();
        shared.life.keepers.fetch_add(1, Ordering::AcqRel);
        let task = tokio::spawn(keep(Arc::clone(shared), Arc::clone(&marks)));
        Self { shared: Arc::clone(shared), marks, task }
    }

    /// Has it look at once, because of these entries.
    pub(super) fn wake(&self, marks: impl IntoIterator<Item = EntryId>) {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).extend(marks);
        self.shared.life.look_at(Instant::now());
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.life.keepers.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn keep(shared: Arc<Shared>, marks: Marks) {
    let interval = (shared.options.lease / 4).clamp(INTERVAL.0, INTERVAL.1);
    let mut forgotten = Instant::now();
    shared.life.look_at(Instant::now());
    loop {
        wait(&shared).await;
        let read: Vec<_> = std::mem::take(&mut *marks.lock().unwrap_or_else(PoisonError::into_inner));
        let started = Instant::now();
        // What becomes due earlier while this look is under way makes for another.
        shared.life.looks(started + interval);
        match look(&shared, &read).await {
            Ok(Some(due)) => shared.life.look_at((Instant::now() + due).min(started + interval)),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(queue = &*shared.name, %error, "what is due cannot be looked after");
                marks.lock().unwrap_or_else(PoisonError::into_inner).extend(read);
                tokio::time::sleep(BACKOFF).await;
                continue;
            }
        }
        if forgotten.elapsed() >= FORGOTTEN.0 {
            forgotten = Instant::now();
            if let Err(error) = shared.remove_consumers(FORGOTTEN.1).await {
                tracing::debug!(queue = &*shared.name, %error, "consumers that are gone cannot be removed");
            }
        }
    }
}

/// Waits until it is time to look, which may become earlier meanwhile.
async fn wait(shared: &Shared) {
    loop {
        let earlier = shared.life.earlier.notified();
        let Some(next) = shared.life.next() else { return };
        if next <= Instant::now() {
            return;
        }
        if timeout_at(next, earlier).await.is_err() {
            sleep_until(next).await;
            return;
        }
    }
}

/// Looks once; answers how long it is until something is due.
async fn look(shared: &Shared, marks: &[EntryId]) -> Result<Option<Duration>, Error> {
    let keys = &shared.keys;
    let mut command = script::TICK.run(&[&keys.stream, &keys.due, &keys.held, &keys.mark, &keys.kept]);
    command.arg(&*shared.options.group).arg(millis(shared.options.lease)).arg(STEP);
    for mark in marks {
        command.arg(mark.to_string());
    }
    let answer = shared.link.script(&script::TICK, &command, SCHEDULE).await?;
    let Value::Array(counts) = answer else { return Err(shared.unreadable(SCHEDULE)) };
    let count = |at: usize| counts.get(at).and_then(int).unwrap_or(0);
    let (back, wait, more) = (count(1), count(2), count(3));
    if back > 0 {
        tracing::info!(queue = &*shared.name, messages = back, "leases were over: messages are handed out again");
    }
    Ok(match u64::try_from(wait) {
        _ if more > 0 => Some(Duration::ZERO),
        Ok(wait) => Some(Duration::from_millis(wait)),
        Err(_) => None,
    })
}
