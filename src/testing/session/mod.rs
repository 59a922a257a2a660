//! [`Session`], which follows messages through queues until nothing is left of them.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chappe_core::Topic;
use chappe_core::backend::Queue;
use tokio::task::JoinHandle;
use tokio::time::timeout;

mod board;
mod stamp;
mod summary;
mod topic;
mod trace;
mod tracked;

pub use summary::{Summary, Unsettled};
pub use topic::{TrackedPublish, TrackedTopic};
pub use trace::{Fate, Trace};
pub use tracked::{Tracked, TrackedConsumer, TrackedReceipt};

use super::limit::{REAL, too_long};
use crate::server::{Handle, Report, Serve, ServeError};
use board::Board;
use summary::Why;

/// Follows messages through topics, queues and servers until nothing is left of them, and tells what became
/// of each.
///
/// A message is followed from its publication through a [tracked topic](TrackedTopic), or else from its
/// first fetch from a [tracked queue](Tracked), until it is acknowledged or dead-lettered; waiting for a
/// retry is no end. What a handler publishes through a tracked topic while it handles a message is a
/// consequence of that message, and waited for as well; what it leaves to tasks of its own is not, until
/// they publish it.
///
/// Retries are seen where the server gives the message back. Those it holds itself, on queues that
/// cannot put a retry off or in [ordered lanes](crate::server::Lanes::Ordered), are one long attempt here.
///
/// A handle: clones are the same session.
#[derive(Clone)]
pub struct Session {
    board: Arc<Board>,
    servers: Arc<Mutex<Vec<Running>>>,
}

/// A server that was spawned.
struct Running {
    handle: Handle,
    task: JoinHandle<Result<Report, ServeError>>,
}

impl Session {
    /// Creates a session that follows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { board: Arc::new(Board::new()), servers: Arc::default() }
    }

    /// Creates a queue in memory with a dead letter, and follows it.
    #[cfg(feature = "memory")]
    #[must_use]
    pub fn queue(&self, name: impl Into<Arc<str>>) -> Tracked<chappe_memory::MemoryQueue> {
        self.track(chappe_memory::MemoryQueue::with_dead_letter(name).0)
    }

    /// Follows a queue of any backend, under its own name. Serve what this returns.
    #[must_use]
    pub fn track<Q: Queue>(&self, queue: Q) -> Tracked<Q> {
        Tracked::new(&self.board, queue)
    }

    /// Follows a topic under a name. Say which tracked queues it [leads to](TrackedTopic::leads_to); what
    /// leads to none is at its end when it is published.
    #[must_use]
    pub fn topic<T: Topic>(&self, name: &str, topic: T) -> TrackedTopic<T> {
        TrackedTopic::new(&self.board, name, topic)
    }

    /// Runs a server in a task of its own. If it fails, the session does not wait on.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn(&self, serve: Serve) -> Handle {
        let handle = serve.handle();
        let board = Arc::clone(&self.board);
        board.change(|book| book.servers += 1);
        let task = tokio::spawn(async move {
            let ended = serve.into_future().await;
            let text = ended.as_ref().map(|_| ()).map_err(|error| chappe_core::Outcome::describe(error));
            board.change(|book| book.ended.push(text));
            ended
        });
        let running = Running { handle: handle.clone(), task };
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).push(running);
        handle
    }

    /// Shuts down the [spawned](Self::spawn) servers and returns their reports, in the order in which they
    /// were spawned.
    ///
    /// # Errors
    ///
    /// The first error a server ended with. All have ended in any case.
    ///
    /// # Panics
    ///
    /// If serving itself panicked, which the panic of a handler does not make it do.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the servers go on shutting down, and their reports are lost.
    pub async fn shutdown(&self) -> Result<Vec<Report>, ServeError> {
        let servers = std::mem::take(&mut *self.servers.lock().unwrap_or_else(PoisonError::into_inner));
        servers.iter().for_each(|server| server.handle.shutdown());
        let mut reports = Vec::with_capacity(servers.len());
        for server in servers {
            reports.push(server.task.await.expect("serving catches the panics of handlers"));
        }
        reports.into_iter().collect()
    }

    /// What became of all messages so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::new(&self.board.book())
    }

    /// Waits until nothing is left of any message: not being published, not queued, not in flight and not
    /// waiting for a retry. At once, if nothing was published yet.
    ///
    /// # Panics
    ///
    /// If that takes more than ten seconds, or a day where time is paused, or if a
    /// [spawned](Self::spawn) server fails before. Says where which message still is.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    #[track_caller]
    pub fn settled(&self) -> impl Future<Output = Summary> + Send + 'static {
        let caller = Location::caller();
        let session = self.clone();
        async move {
            let waited = tokio::select! {
                biased;
                waited = session.wait() => waited,
                () = too_long() => Err(session.unsettled(Why::Limit(REAL))),
            };
            waited.unwrap_or_else(|error| panic!("{caller}: {error}"))
        }
    }

    /// Waits as [`settled`](Self::settled) does, for a time of your choice by tokio's clock.
    ///
    /// # Errors
    ///
    /// [`Unsettled`], which has the summary of how far it got, and says where which message still is.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn settled_within(&self, limit: Duration) -> Result<Summary, Unsettled> {
        timeout(limit, self.wait()).await.unwrap_or_else(|_| Err(self.unsettled(Why::Limit(limit))))
    }

    async fn wait(&self) -> Result<Summary, Unsettled> {
        loop {
            // Created before the look, so that a change between the two is not missed.
            let quiet = self.board.quiet.notified();
            let doubtful = {
                let book = self.board.book();
                if book.is_settled() {
                    return Ok(Summary::new(&book));
                }
                if book.is_hopeless() {
                    let ended = book.ended.iter().map(|ended| ended.clone().err().unwrap_or_default()).collect();
                    drop(book);
                    return Err(self.unsettled(Why::Ended(ended)));
                }
                book.doubtful_queues()
            };
            let mut resolved = false;
            for (queue, is_empty) in doubtful {
                let is_empty = is_empty().await;
                // Not by `change`, which would ring for this very loop though nothing has changed.
                resolved |= self.board.book().resolve_doubts(queue, is_empty);
            }
            if resolved {
                self.board.quiet.notify_waiters();
            } else {
                quiet.await;
            }
        }
    }

    fn unsettled(&self, why: Why) -> Unsettled {
        Unsettled::new(self.summary(), why)
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("settled", &self.board.book().is_settled()).finish_non_exhaustive()
    }
}
