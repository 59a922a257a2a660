//! The statements that lease messages, and that tell when there will be some.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chappe_core::Error;
use chappe_core::backend::Delivery;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::receipt::{PgLease, PgReceipt};
use super::shared::Shared;
use crate::PgStore;
use crate::client::{ANSWER, Session};
use crate::wire::Decoder;

/// How many lanes are looked through for the next that is due.
const LANES: i64 = 1_000;

/// How many ids are forgotten at a time, so that it never takes long.
pub(super) const IDS: u64 = 10_000;

/// The statements of a queue.
pub(super) struct Statements {
    /// The oldest that are visible: queue, watermark, number, token, lease.
    by_time: String,
    /// The first of each key, from a key on: the same, with the key for the watermark.
    by_lane: String,
    /// The seconds until something is visible: queue, watermark.
    due: String,
    pub(super) ack_one: Arc<str>,
    pub(super) sweep_ids: String,
}

/// What a fetch brought.
#[derive(Default)]
pub(super) struct Haul {
    pub(super) deliveries: Vec<Delivery<PgReceipt>>,
    /// Those that make no sense, and why.
    pub(super) odd: Vec<(PgReceipt, Error)>,
    /// Since when the last of them was visible, and the last of their keys.
    pub(super) last: Option<(SystemTime, Vec<u8>)>,
}

impl Haul {
    pub(super) fn len(&self) -> usize {
        self.deliveries.len() + self.odd.len()
    }
}

/// From where on to look.
#[derive(Clone, Debug)]
pub(super) enum From {
    /// In the order of time, all there is: dead rows that were not removed are gone through, for as long as this.
    Beginning(Duration),
    /// In the order of time, from a time on.
    Time(SystemTime),
    /// In the order of keys, from a key on.
    Lane(Vec<u8>),
}

impl From {
    /// From when on.
    fn time(&self) -> SystemTime {
        if let Self::Time(time) = self { *time } else { SystemTime::UNIX_EPOCH }
    }

    /// How long the server may take to look.
    fn patience(&self) -> Duration {
        if let Self::Beginning(patience) = self { *patience } else { ANSWER }
    }
}

impl Statements {
    pub(super) fn new(store: &PgStore, ordered: bool) -> Self {
        let (unkeyed, due) = if ordered { ("AND key IS NULL", due_in_lanes()) } else { ("", DUE.to_owned()) };
        // The limit is selected, so that the planner does not know it: it then goes along the index, where for a queue
        // it takes to be shorter than the limit it would read and sort all of it. Its figures are often those of a
        // queue that was empty.
        let by_time = format!(
            "WITH c AS (
                SELECT ctid, vt FROM {{schema}}.message
                WHERE queue = $1 AND vt <= statement_timestamp() AND vt >= $2 {unkeyed}
                ORDER BY vt, id LIMIT (SELECT $3) FOR UPDATE SKIP LOCKED)
            {}",
            take()
        );
        let by_lane = format!(
            "WITH RECURSIVE {LANE}, head AS MATERIALIZED (
                SELECT id FROM lane WHERE vt <= statement_timestamp() LIMIT $3
            ), c AS (
                SELECT m.ctid, m.vt FROM {{schema}}.message m JOIN head USING (id)
                WHERE m.queue = $1 AND m.vt <= statement_timestamp() FOR UPDATE OF m SKIP LOCKED)
            {}",
            take()
        );
        Self {
            by_time: store.sql(&by_time),
            by_lane: store.sql(&by_lane),
            due: store.sql(&due),
            ack_one: store.sql("DELETE FROM {schema}.message WHERE id = $1 AND lease = $2").into(),
            sweep_ids: store.sql(&format!(
                "DELETE FROM {{schema}}.dedup WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM {{schema}}.dedup
                    WHERE queue = $1 AND seen < clock_timestamp() - interval '10 minutes'
                    LIMIT {IDS} FOR UPDATE SKIP LOCKED))"
            )),
        }
    }
}

impl Shared {
    /// Leases up to `max` messages.
    pub(super) async fn take(&self, session: &Session, max: usize, from: &From) -> Result<Haul, Error> {
        let lease = self.options.lease;
        let token = fastrand::i64(1..);
        let limit = i64::try_from(max).unwrap_or(i64::MAX);
        let seconds = lease.as_secs_f64();
        let time = from.time();
        let (sql, first): (_, (&(dyn ToSql + Sync), Type)) = match from {
            From::Beginning(_) | From::Time(_) => (&self.statements.by_time, (&time, Type::TIMESTAMPTZ)),
            From::Lane(key) => (&self.statements.by_lane, (key, Type::BYTEA)),
        };
        let name = &*self.name;
        let parameters: [(&(dyn ToSql + Sync), Type); 5] =
            [(&name, Type::TEXT), first, (&limit, Type::INT8), (&token, Type::INT8), (&seconds, Type::FLOAT8)];
        let until = Instant::now() + lease;
        let call = self.call("fetch from");
        let leasing = session.client().query_typed(sql, &parameters);
        let mut rows = session.answer_within(from.patience(), &call, leasing).await?;
        // An update returns its rows in no order; this is that of publishing.
        rows.sort_by_cached_key(|row| row.get::<_, i64>(0));
        Ok(self.haul(&rows, token, until))
    }

    /// How long until something is visible in the order of time; `None` if there is nothing.
    pub(super) async fn due(&self, session: &Session, from: &From) -> Result<Option<Duration>, Error> {
        let name = &*self.name;
        let time = from.time();
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&name, Type::TEXT), (&time, Type::TIMESTAMPTZ)];
        let looking = session.client().query_typed_opt(&self.statements.due, &parameters);
        let row = session.answer_within(from.patience(), &self.call("look at"), looking).await?;
        let seconds: Option<f64> = row.and_then(|row| row.get(0));
        Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)))
    }

    fn haul(&self, rows: &[Row], token: i64, until: Instant) -> Haul {
        let mut haul = Haul::default();
        let mut last_key: Option<&[u8]> = None;
        for row in rows {
            let lease = PgLease::new(row.get(0), token, &self.statements.ack_one, &self.name);
            match self.decoder.decode(row) {
                Ok(mut message) => {
                    message.extensions_mut().insert(lease.clone());
                    haul.deliveries.push(Delivery::new(message, PgReceipt(lease)).lease_until(until));
                }
                Err(error) => haul.odd.push((PgReceipt(lease), error)),
            }
            last_key = last_key.max(row.try_get(4).unwrap_or_default());
        }
        haul.last = rows.first().map(|row| (row.get(VISIBLE), last_key.unwrap_or_default().to_vec()));
        haul
    }
}

/// The column that tells since when the last of the rows was visible.
const VISIBLE: usize = 12;

const DUE: &str = "SELECT extract(epoch FROM vt - statement_timestamp())::float8 FROM {schema}.message
    WHERE queue = $1 AND vt >= $2 ORDER BY vt, id LIMIT 1";

/// The first message of each key, from one to the next by the index: it costs as much as there are keys, however
/// many messages wait behind the first.
const LANE: &str = "lane AS (
        (SELECT key, id, vt FROM {schema}.message WHERE queue = $1 AND key >= $2 ORDER BY key, id LIMIT 1)
        UNION ALL
        SELECT next.* FROM lane, LATERAL (
            SELECT key, id, vt FROM {schema}.message WHERE queue = $1 AND key > lane.key ORDER BY key, id LIMIT 1
        ) next
    )";

fn due_in_lanes() -> String {
    let lane = LANE.replace("$2", "''::bytea");
    format!(
        "WITH RECURSIVE {lane}
        SELECT extract(epoch FROM min(vt) - statement_timestamp())::float8 FROM (
            (SELECT vt FROM lane LIMIT {LANES})
            UNION ALL
            (SELECT vt FROM {{schema}}.message WHERE queue = $1 AND vt >= $2 AND key IS NULL ORDER BY vt, id LIMIT 1)
        ) first"
    )
}

/// Leases what `c` has chosen. Its commit need not be on the disk: losing it is a delivery more.
///
/// Rows are found by their place, which `c` has locked, and by an array, whose length the planner does not know: it
/// then goes to each of them, where for a few hundred numbers it would read all of a table that is not large.
fn take() -> String {
    format!(
        "UPDATE {{schema}}.message m
        SET vt = clock_timestamp() + $5 * interval '1 second', attempts = m.attempts + 1, lease = $4
        FROM (SELECT set_config('synchronous_commit', 'off', true) OFFSET 0) relaxed
        WHERE m.ctid = ANY (ARRAY(SELECT ctid FROM c))
        RETURNING {}, (SELECT max(vt) FROM c)",
        Decoder::COLUMNS
    )
}
