//! [`PgReceipt`] and [`PgLease`], what settles a delivery.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chappe_core::{Error, ErrorKind};
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

use crate::error::{self, Call};

/// What settles a delivery: a row, and the token of who may.
#[derive(Clone, Debug)]
pub struct PgReceipt(pub(super) PgLease);

/// A delivery that may be acknowledged within a transaction of the handler: in the
/// [extensions](chappe_core::Message::extensions) of every message of a [`PgQueue`](crate::PgQueue).
///
/// What the handler writes and the end of the message are then one: both are committed, or neither. The server
/// is told as always, and what it does then counts as done.
///
/// # Examples
///
/// ```no_run
/// use chappe::BoxError;
/// use chappe::extract::{Extension, State};
/// use chappe_postgres::PgLease;
///
/// async fn on_order(
///     Extension(lease): Extension<PgLease>,
///     State(pool): State<Pool>,
///     order: String,
/// ) -> Result<(), BoxError> {
///     let mut client = pool.get().await?;
///     let transaction = client.transaction().await?;
///     transaction.execute("INSERT INTO orders (text) VALUES ($1)", &[&order]).await?;
///     lease.ack_in(&transaction).await?;
///     transaction.commit().await?;
///     Ok(())
/// }
/// # #[derive(Clone)]
/// # struct Pool;
/// # impl Pool { async fn get(&self) -> Result<tokio_postgres::Client, BoxError> { unimplemented!() } }
/// ```
#[derive(Clone)]
pub struct PgLease(Arc<Inner>);

struct Inner {
    id: i64,
    token: i64,
    /// The statement that acknowledges it and the name of its queue, for errors.
    ack: Arc<str>,
    queue: Arc<str>,
    acked: AtomicBool,
}

impl PgLease {
    pub(super) fn new(id: i64, token: i64, ack: &Arc<str>, queue: &Arc<str>) -> Self {
        let (ack, queue) = (Arc::clone(ack), Arc::clone(queue));
        Self(Arc::new(Inner { id, token, ack, queue, acked: AtomicBool::new(false) }))
    }

    /// Acknowledges the message as part of a transaction. The handler then commits and returns `Ok`; if it
    /// rolls back and returns an error, the message is tried again.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::LeaseLost`]: somebody else has the message, so roll back.
    /// - [`ErrorKind::Unavailable`] and others: the statement failed, and the transaction with it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the acknowledgement may or may not be part of the transaction.
    pub async fn ack_in<C: GenericClient + Sync>(&self, client: &C) -> Result<(), Error> {
        let Inner { id, token, ack, queue, acked } = &*self.0;
        let call = Call { doing: "settle a message of", what: "queue", name: queue, writes: false };
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(id, Type::INT8), (token, Type::INT8)];
        let rows = client.execute_typed(ack, &parameters).await.map_err(|error| error::of_call(error, &call))?;
        if rows == 0 {
            let text = format!("the lease of message {id} of queue {queue} is over, somebody else may have it");
            return Err(Error::new(ErrorKind::LeaseLost, text));
        }
        acked.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The id of the row.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.0.id
    }

    /// The value of its column `lease` for as long as the lease is ours.
    #[must_use]
    pub fn token(&self) -> i64 {
        self.0.token
    }

    /// Whether it was acknowledged within a transaction, committed or not.
    pub(super) fn is_acked(&self) -> bool {
        self.0.acked.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for PgLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgLease").field("id", &self.0.id).field("queue", &self.0.queue).finish_non_exhaustive()
    }
}
