//! [`Waker`], notifications after the commit, few of them, through a connection of their own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chappe_core::Error;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_postgres::types::Type;

use crate::PgStore;
use crate::client::Link;
use crate::error::Call;

/// How long after a notification the next may follow.
const PAUSE: Duration = Duration::from_millis(10);

/// A notification is a commit, which need not wait for the disk: there is nothing in it that a crash could lose.
const WAKE: &str = "SELECT set_config('synchronous_commit', 'off', true), {schema}.wake($1)";

/// Wakes the consumers of a queue. A hint: one that is lost is made up for by their next look.
pub(super) struct Waker {
    shared: Arc<Shared>,
    /// The task that notifies, from the first time on.
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    link: Arc<Link>,
    sql: String,
    queue: String,
    wanted: Notify,
}

impl Waker {
    pub(super) fn new(link: Arc<Link>, store: &PgStore, queue: &str) -> Self {
        let sql = store.sql(WAKE);
        let shared = Arc::new(Shared { link, sql, queue: queue.to_owned(), wanted: Notify::new() });
        Self { shared, task: Mutex::default() }
    }

    pub(super) fn wake(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        // One of a runtime that is gone has ended as well.
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(tokio::spawn(run(Arc::clone(&self.shared))));
        }
        self.shared.wanted.notify_one();
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

async fn run(shared: Arc<Shared>) {
    loop {
        shared.wanted.notified().await;
        if let Err(error) = shared.notify().await {
            tracing::debug!(%error, queue = shared.queue, "consumers were not woken");
        }
        sleep(PAUSE).await;
    }
}

impl Shared {
    async fn notify(&self) -> Result<(), Error> {
        let call = Call { doing: "wake consumers of", what: "queue", name: &self.queue, writes: false };
        let session = self.link.session().await?;
        session.answer(&call, session.client().query_typed(&self.sql, &[(&self.queue, Type::TEXT)])).await?;
        Ok(())
    }
}
