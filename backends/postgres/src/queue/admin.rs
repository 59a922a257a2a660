//! What is done to a queue as a whole.

use std::time::Duration;

use chappe_core::Error;
use chappe_core::backend::Depth;
use tokio_postgres::types::{ToSql, Type};

use super::PgQueue;
use super::shared::Shared;

/// How long the server may take: it goes through all of the queue.
const LONG: Duration = Duration::from_secs(300);

const DEPTH: &str = "SELECT
        count(*) FILTER (WHERE queue = $1 AND vt <= statement_timestamp()),
        count(*) FILTER (WHERE queue = $1 AND vt > statement_timestamp() AND lease = 0),
        count(*) FILTER (WHERE queue = $1 AND vt > statement_timestamp() AND lease <> 0),
        count(*) FILTER (WHERE queue = $2)
    FROM {schema}.message WHERE queue IN ($1, $2)";

const PURGE: &str = "DELETE FROM {schema}.message WHERE queue = $1";

const REDRIVE: &str = "WITH c AS (
        SELECT id FROM {schema}.message
        WHERE queue = $2 AND dead_source = $1 AND vt <= statement_timestamp()
        ORDER BY vt, id LIMIT $3 FOR UPDATE SKIP LOCKED
    ), back AS (
        UPDATE {schema}.message m SET queue = $1, vt = clock_timestamp(), attempts = 0, lease = 0,
            dead_reason = NULL, dead_source = NULL, dead_attempts = NULL, dead_at = NULL
        FROM c WHERE m.id = c.id RETURNING m.id
    )
    SELECT count(*) FROM back";

impl PgQueue {
    /// Puts dead letters of this queue back into it, the oldest first, up to `max`; answers how many. They begin
    /// anew, with the ids they had. Those that somebody is handling stay.
    ///
    /// # Errors
    ///
    /// What kept the statement from being run.
    ///
    /// # Cancel safety
    ///
    /// Dropped, all or none were put back.
    pub async fn redrive(&self, max: u64) -> Result<u64, Error> {
        let shared = &self.0;
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        let name = &*shared.name;
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&name, Type::TEXT), (&shared.options.dead, Type::TEXT), (&max, Type::INT8)];
        let session = shared.admin.session().await?;
        let sql = shared.store.sql(REDRIVE);
        let redriving = session.client().query_typed_one(&sql, &parameters);
        let row = session.answer_within(LONG, &shared.call("redrive to"), redriving).await?;
        // Other consumers find them by themselves.
        shared.notice_change();
        Ok(row.get::<_, i64>(0).unsigned_abs())
    }

    /// Deletes everything in the queue, leased or not, and answers how much. Its dead letters stay.
    ///
    /// # Errors
    ///
    /// What kept the statement from being run.
    ///
    /// # Cancel safety
    ///
    /// Dropped, all or nothing was deleted.
    pub async fn purge(&self) -> Result<u64, Error> {
        let shared = &self.0;
        let name = &*shared.name;
        let session = shared.admin.session().await?;
        let sql = shared.store.sql(PURGE);
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&name, Type::TEXT)];
        let purging = session.client().execute_typed(&sql, &parameters);
        session.answer_within(LONG, &shared.call("purge"), purging).await
    }
}

impl Shared {
    pub(super) async fn depth(&self) -> Result<Depth, Error> {
        let name = &*self.name;
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&name, Type::TEXT), (&self.options.dead, Type::TEXT)];
        let session = self.admin.session().await?;
        let sql = self.store.sql(DEPTH);
        let counting = session.client().query_typed_one(&sql, &parameters);
        let row = session.answer_within(LONG, &self.call("count"), counting).await?;
        let count = |at: usize| row.get::<_, i64>(at).unsigned_abs();
        let mut depth = Depth::default();
        (depth.ready, depth.delayed, depth.in_flight, depth.dead) = (count(0), count(1), count(2), count(3));
        Ok(depth)
    }
}
