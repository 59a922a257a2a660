//! [`Serving`], a server that runs while a case looks on.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chappe::server::{Backoff, Handle, Report, ServeError};
use chappe::{BoxError, Message, Outcome, Receiver, Server};
use chappe_core::backend::Queue;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::service_fn;

/// A server that is being served, in a task that ends with it.
pub(super) struct Serving {
    pub(super) handle: Handle,
    task: JoinSet<Result<Report, ServeError>>,
}

impl Serving {
    pub(super) fn start<Q: Queue>(server: Server<Q>, receiver: impl Receiver) -> Self {
        let handle = server.handle();
        let mut task = JoinSet::new();
        task.spawn(async move { server.serve(receiver).await });
        Self { handle, task }
    }

    /// Shuts the server down, which must be clean.
    pub(super) async fn stop(self) -> Report {
        self.handle.shutdown();
        self.ended().await.unwrap_or_else(|error| panic!("the shutdown was not clean: {error:?}"))
    }

    /// How the server ends.
    pub(super) async fn ended(mut self) -> Result<Report, ServeError> {
        self.task.join_next().await.expect("the task was spawned").expect("serving does not panic")
    }

    /// Drops the server in the middle of everything, as a crash would.
    pub(super) async fn crash(mut self) {
        self.task.shutdown().await;
    }
}

/// A server that retries without a pause.
pub(super) fn server<Q: Queue>(queue: Q) -> Server<Q> {
    Server::new(queue).backoff(Backoff::none())
}

/// A receiver from an async function that is given a clone of what all its calls share.
pub(super) fn receiver<S, F, R>(shared: &S, handle: F) -> impl Receiver + use<S, F, R>
where
    S: Clone + Send + 'static,
    F: Fn(S, Message) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Outcome, BoxError>> + Send + 'static,
{
    let shared = shared.clone();
    service_fn(move |message: Message| handle(shared.clone(), message))
}

/// What handlers have noted, and a way to wait for it.
#[derive(Default)]
pub(super) struct Log<T> {
    entries: Mutex<Vec<T>>,
    changed: Notify,
}

impl<T: Send> Log<T> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { entries: Mutex::default(), changed: Notify::new() })
    }

    pub(super) fn note(&self, entry: T) {
        self.lock().push(entry);
        self.changed.notify_waiters();
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for so many entries.
    pub(super) async fn wait(&self, count: usize, patience: Duration) {
        self.wait_until(patience, |entries| entries.len() >= count).await;
    }

    /// Waits until the entries are as expected.
    pub(super) async fn wait_until(&self, patience: Duration, expected: impl Fn(&[T]) -> bool + Send + Sync) {
        let reached = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if expected(&self.lock()) {
                    return;
                }
                changed.await;
            }
        };
        let in_time = timeout(patience, reached).await.is_ok();
        assert!(in_time, "after {patience:?} handlers have noted {} entries, and more were expected", self.len());
    }
}
