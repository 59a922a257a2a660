//! [`PgPublisher`], which puts messages into a queue, in batches or in a transaction of the caller.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chappe_core::backend::{Backend, Delay, Outgoing, PublishCapabilities, PublishResult, Publisher, Status};
use chappe_core::{Batched, Error, ErrorKind, Message, MessageId, Published};
use tokio_postgres::{GenericClient, Row};

mod insert;
mod waker;

use self::insert::Insert;
use self::waker::Waker;
use crate::PgStore;
use crate::client::{Link, Pool, Vitals};
use crate::error::{self, Call};
use crate::wire::{self, Columns};

/// The most messages in a statement, which is parsed and planned each time. More does not pay any more.
const MAX_BATCH: usize = 1000;
/// The most bytes of a message and of a statement, unless set otherwise.
const MAX_BYTES: usize = 16 << 20;
/// How many connections publish side by side, when one alone cannot keep up: their commits share the disk's.
const CONNECTIONS: usize = 3;
/// The longest name of a queue.
const MAX_NAME_BYTES: usize = 200;

/// Publishes to a queue: [`PgPublisher`], batched.
///
/// # Examples
///
/// ```no_run
/// use chappe_core::Topic;
/// use chappe_postgres::{PgPublisher, PgStore};
///
/// # async fn publish() -> Result<(), chappe_core::Error> {
/// let store = PgStore::from_url("postgres://app:secret@db.example/app")?;
/// let topic = PgPublisher::new(&store, "orders").topic();
/// topic.publish("hello").await?;
/// # Ok(()) }
/// ```
pub type PgTopic = Batched<PgPublisher>;

/// Puts messages into a queue, many in a statement, each statement a transaction. A handle: clones share its
/// connections.
///
/// Consumers are woken by a connection of its own, after the commit and at most every ten milliseconds: a
/// transaction that both writes and notifies would hold up all others of its kind.
#[derive(Clone)]
pub struct PgPublisher(Arc<Inner>);

struct Inner {
    store: PgStore,
    queue: Box<str>,
    capabilities: PublishCapabilities,
    vitals: Vitals,
    pool: Pool,
    checked: AtomicBool,
    waker: Waker,
}

impl PgPublisher {
    /// Publishes to the queue of this name. Nothing is connected until something is published.
    #[must_use]
    pub fn new(store: &PgStore, queue: impl Into<String>) -> Self {
        Self::with(store, queue.into(), MAX_BYTES)
    }

    /// Sets the most bytes a message may have, 16 MiB by default. PostgreSQL takes up to half a gigabyte, all
    /// of it in memory at once.
    #[must_use]
    pub fn max_message_bytes(self, bytes: usize) -> Self {
        Self::with(&self.0.store, self.0.queue.to_string(), bytes)
    }

    /// A topic that publishes through this, with default options.
    #[must_use]
    pub fn topic(&self) -> PgTopic {
        Batched::new(self.clone()).max_in_flight(CONNECTIONS)
    }

    /// The tables it publishes to.
    #[must_use]
    pub fn store(&self) -> &PgStore {
        &self.0.store
    }

    /// Puts a message into the queue within a transaction of the caller: it is there if that commits, and was
    /// never there if it does not. Consumers find it within a second, or at once after [`wake`](Self::wake).
    ///
    /// `client` is a [`Transaction`](tokio_postgres::Transaction), or anything that derefs to one, of the
    /// database of the store. Users of other crates call the SQL function `chappe.enqueue` instead.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`], [`ErrorKind::TooLarge`]: the message does not fit; the transaction goes on.
    /// - [`ErrorKind::NotFound`]: the tables are not there, and others as the statement failed: PostgreSQL has
    ///   the transaction fail as well.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the message may or may not be part of the transaction.
    pub async fn enqueue_in<C: GenericClient + Sync>(
        &self,
        client: &C,
        message: impl Into<Message> + Send,
    ) -> Result<Published, Error> {
        let mut published = self.enqueue_all_in(client, &[message.into().into_outgoing()]).await?;
        Ok(published.swap_remove(0))
    }

    /// Puts messages into the queue within a transaction of the caller, in one statement, as
    /// [`enqueue_in`](Self::enqueue_in) does one.
    ///
    /// # Errors
    ///
    /// As [`enqueue_in`](Self::enqueue_in); the first message that does not fit keeps all out.
    ///
    /// # Cancel safety
    ///
    /// Dropped, all or none of the messages are part of the transaction.
    pub async fn enqueue_all_in<C: GenericClient + Sync>(
        &self,
        client: &C,
        messages: &[Message],
    ) -> Result<Vec<Published>, Error> {
        let mut columns = Columns::with_capacity(messages.len());
        for message in messages {
            self.0.capabilities.check(message)?;
            wire::check(message)?;
            columns.push(message);
        }
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let insert = Insert::of(&columns, &self.0.store);
        let parameters = insert.parameters(&self.0.queue);
        // It is not done before the caller commits, so that there is no doubt about it here.
        let call = Call { writes: false, ..self.0.call() };
        let rows = client.query_typed(&insert.sql, &parameters).await.map_err(|error| error::of_call(error, &call))?;
        self.0.published(&columns, &rows)
    }

    /// Has consumers look at once, after a transaction that [put something in](Self::enqueue_in) has committed.
    /// Returns at once; many calls come to few notifications. What is never woken is found within a second.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn wake(&self) {
        self.0.waker.wake();
    }

    fn with(store: &PgStore, queue: String, max_bytes: usize) -> Self {
        let vitals = Vitals::new();
        let link = |part| Link::new(store.config().clone(), &vitals, part);
        let mut capabilities = PublishCapabilities::new();
        capabilities.max_batch = MAX_BATCH;
        capabilities.max_batch_bytes = max_bytes;
        capabilities.max_message_bytes = max_bytes;
        capabilities.delay = Delay::Exact { max: Some(wire::MAX_DELAY) };
        capabilities.dedup = true;
        Self(Arc::new(Inner {
            waker: Waker::new(link(CONNECTIONS), store, &queue),
            pool: Pool::new((0..CONNECTIONS).map(link)),
            store: store.clone(),
            queue: queue.into(),
            capabilities,
            vitals,
            checked: AtomicBool::new(false),
        }))
    }
}

impl Inner {
    fn call(&self) -> Call<'_> {
        Call { doing: "publish to", what: "queue", name: &self.queue, writes: true }
    }

    /// What came of each message: rows come back in order, without those that were there before.
    fn published(&self, columns: &Columns<'_>, rows: &[Row]) -> Result<Vec<Published>, Error> {
        let with_ids = columns.any_id();
        let mut rows = rows.iter().peekable();
        let mut published = Vec::with_capacity(columns.ids().len());
        for id in columns.ids() {
            let is_this = |row: &&Row| !with_ids || row.get::<_, Option<&str>>(1) == id.as_deref();
            let stored = rows.next_if(is_this);
            published.push(match (stored, id) {
                (Some(row), _) => Published::new(Some(MessageId::from_u64(row.get::<_, i64>(0).unsigned_abs()))),
                (None, Some(_)) => Published::new(None).duplicate(),
                (None, None) => {
                    let text = format!("cannot publish to queue {}: the answer leaves a message out", self.queue);
                    return Err(Error::new(ErrorKind::Other, text).ambiguous());
                }
            });
        }
        Ok(published)
    }

    async fn insert(&self, columns: &Columns<'_>) -> Result<Vec<Published>, Error> {
        let link = self.pool.link();
        let session = link.session().await?;
        if !self.checked.load(Ordering::Relaxed) {
            self.store.check_in(&session).await?;
            self.checked.store(true, Ordering::Relaxed);
        }
        let insert = Insert::of(columns, &self.store);
        let parameters = insert.parameters(&self.queue);
        let rows = session.answer(&self.call(), session.client().query_typed(&insert.sql, &parameters)).await?;
        self.published(columns, &rows)
    }
}

impl Backend for PgPublisher {
    fn status(&self) -> &Status {
        self.0.vitals.status()
    }

    fn system(&self) -> &'static str {
        crate::SYSTEM
    }

    fn destination(&self) -> &str {
        &self.0.queue
    }
}

impl Publisher for PgPublisher {
    fn publish_capabilities(&self) -> &PublishCapabilities {
        &self.0.capabilities
    }

    async fn publish(&self, batch: &mut [Outgoing]) -> Result<(), Error> {
        check_name(&self.0.queue)?;
        for outgoing in batch.iter_mut().filter(|outgoing| outgoing.result.is_pending()) {
            if let Err(error) = wire::check(&outgoing.message) {
                outgoing.result = PublishResult::Failed(error);
            }
        }
        let (mut columns, mut places) = (Columns::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for (at, outgoing) in batch.iter().enumerate().filter(|(_, outgoing)| outgoing.result.is_pending()) {
            columns.push(&outgoing.message);
            places.push(at);
        }
        if places.is_empty() {
            return Ok(());
        }
        let ready = columns.any_ready();
        let result = self.0.insert(&columns).await;
        drop(columns);
        match result {
            Ok(published) => {
                self.status().count_sent(published.len() as u64);
                for (place, published) in places.into_iter().zip(published) {
                    batch[place].result = PublishResult::Accepted(published);
                }
                if ready {
                    self.wake();
                }
                Ok(())
            }
            // All of them or none were stored, and nobody can say which.
            Err(error) if error.is_ambiguous() => {
                for place in places {
                    let each = Error::new(error.kind(), error.to_string()).ambiguous();
                    batch[place].result = PublishResult::Failed(each);
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl fmt::Debug for PgPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgPublisher")
            .field("store", &self.0.store)
            .field("queue", &self.0.queue)
            .finish_non_exhaustive()
    }
}

/// Whether a queue may be called this.
///
/// # Errors
///
/// [`ErrorKind::Invalid`]: the name is empty, too long, or has control characters.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        let text = format!(
            "{name:?} is no name of a queue: it is to have 1 to {MAX_NAME_BYTES} bytes and no control characters"
        );
        return Err(Error::new(ErrorKind::Invalid, text));
    }
    Ok(())
}
