//! [`Link`], a connection that is made again when it ends.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use chappe_core::Error;
use chappe_core::backend::Status;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::sleep;

use super::{Backoff, PgConfig, Session};

/// The health of a handle with several connections: it is well when all of those that were made stand.
#[derive(Clone)]
pub(crate) struct Vitals {
    status: Status,
    down: Arc<Mutex<BTreeSet<usize>>>,
}

impl Vitals {
    pub(crate) fn new() -> Self {
        Self { status: Status::connecting(), down: Arc::default() }
    }

    pub(crate) fn status(&self) -> &Status {
        &self.status
    }

    pub(crate) fn up(&self, part: usize) {
        let well = {
            let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
            down.remove(&part);
            down.is_empty()
        };
        if well {
            self.status.up();
        }
    }

    pub(crate) fn down(&self, part: usize, error: impl fmt::Display) {
        self.down.lock().unwrap_or_else(PoisonError::into_inner).insert(part);
        self.status.down(error);
    }
}

/// A connection for statements. The first caller makes it; when it ends, a task of its own makes it again,
/// and tells the handle's health.
pub(crate) struct Link {
    config: PgConfig,
    part: usize,
    vitals: Vitals,
    session: AsyncMutex<Option<Arc<Session>>>,
    myself: Weak<Self>,
}

impl Link {
    /// The `part`th connection of a handle.
    pub(crate) fn new(config: PgConfig, vitals: &Vitals, part: usize) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            config,
            part,
            vitals: vitals.clone(),
            session: AsyncMutex::new(None),
            myself: Weak::clone(myself),
        })
    }

    /// The connection, made now if there is none.
    ///
    /// # Errors
    ///
    /// What kept it from being made.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the connection is not made.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, Error> {
        let mut slot = self.session.lock().await;
        if let Some(session) = slot.as_ref().filter(|session| !session.is_ended()) {
            return Ok(Arc::clone(session));
        }
        match Session::open(&self.config, |_| {}).await {
            Ok(session) => {
                let session = Arc::new(session);
                *slot = Some(Arc::clone(&session));
                drop(slot);
                self.vitals.up(self.part);
                tokio::spawn(watch(Weak::clone(&self.myself), Arc::downgrade(&session)));
                Ok(session)
            }
            Err(error) => {
                self.vitals.down(self.part, &error);
                Err(error)
            }
        }
    }

    /// Ends the connection, for good if nobody asks for another.
    pub(crate) async fn close(&self) {
        self.session.lock().await.take();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Waits for the end of a session, and makes another unless nobody has the link any more.
///
/// Boxed, as it comes back to itself by way of the link.
fn watch(link: Weak<Link>, session: Weak<Session>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let Some(why) = ended(&session).await else { return };
        let Some(ours) = link.upgrade() else { return };
        ours.vitals.down(ours.part, why);
        drop(ours);
        let mut backoff = Backoff::default();
        loop {
            sleep(backoff.next()).await;
            let Some(link) = link.upgrade() else { return };
            match link.session().await {
                // It has a watch of its own.
                Ok(_) => return,
                Err(error) => tracing::debug!(%error, "reconnecting failed"),
            }
        }
    })
}

/// How a session ended, or `None` if it was dropped by us.
async fn ended(session: &Weak<Session>) -> Option<String> {
    let ended = session.upgrade()?.when_ended();
    ended.await;
    session.upgrade().map(|session| session.why())
}
