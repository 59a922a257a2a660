//! [`PgQueue`], a work queue in a table.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chappe_core::Error;
use chappe_core::backend::{
    Attempts, Backend, Capabilities, ConsumeOptions, Delay, Depth, LeaseKind, Order, Queue, Settlement, Status,
};

mod admin;
mod consumer;
mod fetch;
mod receipt;
mod settle;
mod shared;

pub use consumer::PgConsumer;
pub use receipt::{PgLease, PgReceipt};

use self::shared::{Options, Shared};
use crate::publish::check_name;
use crate::{PgPublisher, PgStore, PgTopic};

/// The most deliveries in one fetch and the most settlements in one statement.
const MAX_BATCH: usize = 500;
/// How long settlements wait for others: less than a commit takes, which each call is.
const LINGER: Duration = Duration::from_millis(2);

/// A work queue in a PostgreSQL database. A handle: clones are the same queue.
///
/// # Examples
///
/// ```no_run
/// use chappe::{BoxError, Message, Server};
/// use chappe_postgres::{PgQueue, PgStore};
/// use tower::service_fn;
///
/// async fn on_order(order: Message) -> Result<(), BoxError> {
///     println!("{} bytes", order.body().len());
///     Ok(())
/// }
///
/// # async fn serve() -> Result<(), BoxError> {
/// let store = PgStore::from_url("postgres://app:secret@db.example/app")?;
/// store.migrate().await?;
/// Server::new(PgQueue::new(&store, "orders")).concurrency(64).serve(service_fn(on_order)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PgQueue(Arc<Shared>);

impl PgQueue {
    /// The queue of this name. Queues need not be made: one is there as soon as something is put into it.
    #[must_use]
    pub fn new(store: &PgStore, name: impl Into<String>) -> Self {
        let name = name.into();
        let dead = Some(format!("{name}-dead"));
        Self::with(store, &name, Options { dead, ..Options::default() })
    }

    /// Sets how long a fetched message is kept from others, unless it is renewed, which the server does. It is
    /// also how long a message is lost to everybody when a process dies with it. 30 seconds by default.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        self.change(|options| options.lease = lease)
    }

    /// Has messages of one [key](chappe_core::Message::key) come in the order they were published, one at a
    /// time. Off by default. All consumers of a queue are to have the same.
    #[must_use]
    pub fn ordered(self, ordered: bool) -> Self {
        self.change(|options| options.ordered = ordered)
    }

    /// Moves messages that are rejected to the queue of this name: by default this queue's name and `-dead`.
    #[must_use]
    pub fn dead_letter(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.change(|options| options.dead = Some(name))
    }

    /// Moves rejected messages nowhere: they are tried again.
    #[must_use]
    pub fn without_dead_letter(self) -> Self {
        self.change(|options| options.dead = None)
    }

    /// Sets how often an idle consumer looks by itself, one second by default, somewhat less each time so that
    /// many do not come at once. It is how late what nobody told of is found.
    #[must_use]
    pub fn poll(self, interval: Duration) -> Self {
        self.change(|options| options.poll = interval)
    }

    /// Whether consumers listen for notifications. They do by default; a pooler that gives every transaction
    /// another connection has no such thing, and the [poll](Self::poll) is all there is.
    #[must_use]
    pub fn listen(self, listen: bool) -> Self {
        self.change(|options| options.listen = listen)
    }

    /// The dead letters of this queue, as a queue that has none itself; `None` if they go nowhere.
    #[must_use]
    pub fn dead_letters(&self) -> Option<Self> {
        let dead = self.0.options.dead.as_deref()?;
        Some(Self::with(&self.0.store, dead, Options { dead: None, ..self.0.options.clone() }))
    }

    /// The name of the queue.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The tables it is in.
    #[must_use]
    pub fn store(&self) -> &PgStore {
        &self.0.store
    }

    /// Publishes to the queue.
    #[must_use]
    pub fn publisher(&self) -> PgPublisher {
        PgPublisher::new(&self.0.store, self.name())
    }

    /// A topic of the [publisher](Self::publisher) with default options.
    #[must_use]
    pub fn topic(&self) -> PgTopic {
        self.publisher().topic()
    }

    fn with(store: &PgStore, name: &str, options: Options) -> Self {
        let mut capabilities = Capabilities::new();
        capabilities.lease = LeaseKind::Timed { ttl: options.lease, max: None, renewable: true };
        capabilities.retry_delay = Delay::Exact { max: Some(crate::wire::MAX_DELAY) };
        capabilities.attempts = Attempts::Exact;
        capabilities.order = if options.ordered { Order::LaneExclusive } else { Order::None };
        capabilities.dead_letter = options.dead.is_some();
        capabilities.release = true;
        capabilities.confirmed_settle = true;
        capabilities.max_settle_batch = MAX_BATCH;
        capabilities.settle_linger = LINGER.min(options.lease / 10);
        capabilities.max_fetch = MAX_BATCH;
        Self(Arc::new(Shared::new(store, name, options, capabilities)))
    }

    fn change(self, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = self.0.options.clone();
        change(&mut options);
        Self::with(&self.0.store, &self.0.name, options)
    }
}

impl Backend for PgQueue {
    fn status(&self) -> &Status {
        self.0.vitals.status()
    }

    fn system(&self) -> &'static str {
        crate::SYSTEM
    }

    fn destination(&self) -> &str {
        &self.0.name
    }
}

impl Queue for PgQueue {
    type Receipt = PgReceipt;
    type Consumer = PgConsumer;

    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn consume(&self, options: ConsumeOptions) -> Result<PgConsumer, Error> {
        check_name(&self.0.name)?;
        self.0.options.check()?;
        PgConsumer::open(&self.0, options).await
    }

    async fn settle(&self, batch: &mut [Settlement<PgReceipt>]) -> Result<(), Error> {
        self.0.settle(batch).await
    }

    async fn depth(&self) -> Result<Depth, Error> {
        self.0.depth().await
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.settling.close().await;
        self.0.admin.close().await;
        Ok(())
    }
}

impl fmt::Debug for PgQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgQueue")
            .field("store", &self.0.store)
            .field("name", &self.0.name)
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}
