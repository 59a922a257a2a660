//! [`Link`], a connection that is made again when it ends.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use chappe_core::Error;
use chappe_core::backend::Status;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::time::sleep;
use tokio_postgres::types::{ToSql, Type};

use super::{Backoff, PgConfig, Session};
use crate::PgStore;
use crate::error::Call;

/// The health of a handle with several connections: it is well when all of those that were made stand.
#[derive(Clone)]
pub(crate) struct Vitals {
    status: Status,
    parts: Arc<Mutex<BTreeMap<usize, bool>>>,
}

impl Vitals {
    pub(crate) fn new() -> Self {
        Self { status: Status::connecting(), parts: Arc::default() }
    }

    pub(crate) fn status(&self) -> &Status {
        &self.status
    }

    pub(crate) fn up(&self, part: usize) {
        self.change(|parts| {
            parts.insert(part, true);
        });
    }

    pub(crate) fn down(&self, part: usize, error: impl fmt::Display) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).insert(part, false);
        self.status.down(error);
    }

    /// One that is gone is not missed.
    fn forget(&self, part: usize) {
        self.change(|parts| {
            parts.remove(&part);
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<usize, bool>)) {
        let well = {
            let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut parts);
            !parts.is_empty() && parts.values().all(|up| *up)
        };
        if well {
            self.status.up();
        }
    }
}

/// What a connection listens to.
pub(crate) struct Listen {
    /// The statement that tells the channel of a queue.
    pub(crate) channel: String,
    pub(crate) queue: String,
    /// Counts what was heard, and connections, as something may have been missed before each.
    pub(crate) heard: watch::Sender<u64>,
}

/// A connection for statements. The first caller makes it; when it ends, a task of its own makes it again,
/// and tells the handle's health.
pub(crate) struct Link {
    config: PgConfig,
    part: usize,
    vitals: Vitals,
    listen: Option<Arc<Listen>>,
    check: Option<PgStore>,
    session: AsyncMutex<Option<Arc<Session>>>,
    myself: Weak<Self>,
}

impl Link {
    /// The `part`th connection of a handle.
    pub(crate) fn new(config: PgConfig, vitals: &Vitals, part: usize) -> Arc<Self> {
        Self::with(config, vitals, part, None, None)
    }

    /// The `part`th connection of a handle, which looks at the tables and listens before it does anything else.
    pub(crate) fn checked(store: &PgStore, vitals: &Vitals, part: usize, listen: Option<Listen>) -> Arc<Self> {
        Self::with(store.config().clone(), vitals, part, listen.map(Arc::new), Some(store.clone()))
    }

    fn with(
        config: PgConfig,
        vitals: &Vitals,
        part: usize,
        listen: Option<Arc<Listen>>,
        check: Option<PgStore>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            config,
            part,
            vitals: vitals.clone(),
            listen,
            check,
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
        match self.open().await {
            Ok(session) => {
                let session = Arc::new(session);
                *slot = Some(Arc::clone(&session));
                drop(slot);
                self.vitals.up(self.part);
                tokio::spawn(keep(Weak::clone(&self.myself), Arc::downgrade(&session)));
                Ok(session)
            }
            Err(error) => {
                self.vitals.down(self.part, &error);
                Err(error)
            }
        }
    }

    async fn open(&self) -> Result<Session, Error> {
        let hearing = self.listen.clone();
        let session = Session::open(&self.config, move |_| {
            if let Some(listen) = &hearing {
                listen.heard();
            }
        });
        let session = session.await?;
        if let Some(store) = &self.check {
            store.check_in(&session).await?;
        }
        let Some(listen) = &self.listen else { return Ok(session) };
        let call = Call { doing: "listen for", what: "queue", name: &listen.queue, writes: false };
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&listen.queue, Type::TEXT)];
        let channel = session.client().query_typed_one(&listen.channel, &parameters);
        let channel: String = session.answer(&call, channel).await?.get(0);
        session.answer(&call, session.client().batch_execute(&format!("LISTEN {channel}"))).await?;
        listen.heard();
        Ok(session)
    }

    /// Ends the connection, for good if nobody asks for another.
    pub(crate) async fn close(&self) {
        self.session.lock().await.take();
        self.vitals.forget(self.part);
    }
}

impl Listen {
    fn heard(&self) {
        self.heard.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.vitals.forget(self.part);
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
fn keep(link: Weak<Link>, session: Weak<Session>) -> BoxFuture<'static, ()> {
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
