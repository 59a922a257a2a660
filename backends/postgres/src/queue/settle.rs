//! Settling a batch: one statement for each kind of end, and a result for each entry.

use std::collections::HashSet;

use chappe_core::backend::{Action, SettleResult, Settlement};
use chappe_core::{Error, ErrorKind, Reason};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::receipt::PgReceipt;
use super::shared::Shared;
use crate::client::Session;
use crate::wire::MAX_DELAY;

/// The most characters of a reason that are kept.
const MAX_REASON: usize = 2_000;

/// Every array is selected from, so that its length is not known when the statement is planned: rows are then looked
/// up one by one by their number, where for a few hundred the planner would read all of a table that is not large.
const ACK: &str = "DELETE FROM {schema}.message m
    USING unnest(ARRAY(SELECT unnest($1)), ARRAY(SELECT unnest($2))) AS r (id, lease)
    WHERE m.id = r.id AND m.lease = r.lease RETURNING m.id, r.lease";

/// Shows it again after a time, and keeps the lease if it is one that is renewed.
const MOVE: &str = "UPDATE {schema}.message m SET
        vt = clock_timestamp() + r.seconds * interval '1 second',
        attempts = m.attempts - r.back,
        lease = CASE WHEN r.keep THEN m.lease ELSE 0 END
    FROM unnest(ARRAY(SELECT unnest($1)), ARRAY(SELECT unnest($2)), ARRAY(SELECT unnest($3)),
        ARRAY(SELECT unnest($4)), ARRAY(SELECT unnest($5))) AS r (id, lease, seconds, back, keep)
    WHERE m.id = r.id AND m.lease = r.lease RETURNING m.id, r.lease";

/// In one statement, so that it is never in both queues or in none.
const BURY: &str = "UPDATE {schema}.message m SET
        queue = $3, vt = clock_timestamp(), attempts = 0, lease = 0,
        dead_reason = r.reason, dead_source = m.queue, dead_attempts = m.attempts, dead_at = clock_timestamp()
    FROM unnest(ARRAY(SELECT unnest($1)), ARRAY(SELECT unnest($2)), ARRAY(SELECT unnest($4))) AS r (id, lease, reason)
    WHERE m.id = r.id AND m.lease = r.lease RETURNING m.id, r.lease";

/// What a statement takes, column by column, each entry with its place in the batch.
#[derive(Default)]
struct Group {
    places: Vec<usize>,
    ids: Vec<i64>,
    tokens: Vec<i64>,
    seconds: Vec<f64>,
    back: Vec<i32>,
    keep: Vec<bool>,
    reasons: Vec<String>,
}

impl Shared {
    /// Settles a batch by up to three statements, each of which is applied as a whole or not at all.
    pub(super) async fn settle(&self, batch: &mut [Settlement<PgReceipt>]) -> Result<(), Error> {
        let (acks, moves, letters) = self.plan(batch);
        if acks.places.is_empty() && moves.places.is_empty() && letters.places.is_empty() {
            return Ok(());
        }
        let session = self.settling.session().await?;
        let (acked, moved, buried) =
            tokio::join!(self.ack(&session, &acks), self.put_back(&session, &moves), self.bury(&session, &letters));
        let mut failure = None;
        for (group, answer) in [(&acks, acked), (&moves, moved), (&letters, buried)] {
            match answer {
                Ok(rows) => group.hear(&rows, batch),
                Err(error) => failure = Some(error),
            }
        }
        let shows_others = |settlement: &Settlement<PgReceipt>| {
            let done = matches!(settlement.result, SettleResult::Done);
            done && (self.options.ordered || !matches!(settlement.action, Action::Ack | Action::Extend { .. }))
        };
        if batch.iter().any(shows_others) {
            self.notice_change();
        }
        failure.map_or(Ok(()), Err)
    }

    fn plan(&self, batch: &mut [Settlement<PgReceipt>]) -> (Group, Group, Group) {
        let (mut acks, mut moves, mut letters) = (Group::default(), Group::default(), Group::default());
        for (place, settlement) in batch.iter_mut().enumerate().filter(|(_, entry)| entry.result.is_pending()) {
            let receipt = &settlement.receipt;
            match &settlement.action {
                Action::Ack => acks.add(place, receipt),
                Action::Retry { delay, .. } => {
                    moves.add_move(place, receipt, delay.min(&MAX_DELAY).as_secs_f64(), 0, false)
                }
                Action::Release => moves.add_move(place, receipt, 0.0, 1, false),
                Action::Extend { by } => moves.add_move(place, receipt, by.min(&MAX_DELAY).as_secs_f64(), 0, true),
                Action::DeadLetter { .. } if self.options.dead.is_none() => {
                    settlement.result = SettleResult::Failed(self.no_dead_letter());
                }
                Action::DeadLetter { reason } => {
                    letters.add(place, receipt);
                    letters.reasons.push(shown(reason));
                }
                _ => settlement.result = SettleResult::Done,
            }
        }
        (acks, moves, letters)
    }

    async fn ack(&self, session: &Session, group: &Group) -> Result<Vec<Row>, Error> {
        self.run(session, group, ACK, &[]).await
    }

    async fn put_back(&self, session: &Session, group: &Group) -> Result<Vec<Row>, Error> {
        let more: [(&(dyn ToSql + Sync), Type); 3] =
            [(&group.seconds, Type::FLOAT8_ARRAY), (&group.back, Type::INT4_ARRAY), (&group.keep, Type::BOOL_ARRAY)];
        self.run(session, group, MOVE, &more).await
    }

    async fn bury(&self, session: &Session, group: &Group) -> Result<Vec<Row>, Error> {
        let more: [(&(dyn ToSql + Sync), Type); 2] =
            [(&self.options.dead, Type::TEXT), (&group.reasons, Type::TEXT_ARRAY)];
        self.run(session, group, BURY, &more).await
    }

    async fn run(
        &self,
        session: &Session,
        group: &Group,
        sql: &str,
        more: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error> {
        if group.places.is_empty() {
            return Ok(Vec::new());
        }
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> =
            vec![(&group.ids, Type::INT8_ARRAY), (&group.tokens, Type::INT8_ARRAY)];
        parameters.extend(more.iter().cloned());
        let sql = self.store.sql(sql);
        session.answer(&self.call("settle messages of"), session.client().query_typed(&sql, &parameters)).await
    }

    fn no_dead_letter(&self) -> Error {
        let text = format!("queue {} has no dead letter; give it one with `dead_letter`", self.name);
        Error::new(ErrorKind::Unsupported, text)
    }
}

impl Group {
    fn add(&mut self, place: usize, receipt: &PgReceipt) {
        self.places.push(place);
        self.ids.push(receipt.0.id());
        self.tokens.push(receipt.0.token());
    }

    fn add_move(&mut self, place: usize, receipt: &PgReceipt, seconds: f64, back: i32, keep: bool) {
        self.add(place, receipt);
        self.seconds.push(seconds);
        self.back.push(back);
        self.keep.push(keep);
    }

    /// Whatever the statement did not return, it did not find.
    fn hear(&self, rows: &[Row], batch: &mut [Settlement<PgReceipt>]) {
        let done: HashSet<(i64, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        for (at, place) in self.places.iter().enumerate() {
            let settlement = &mut batch[*place];
            let found = done.contains(&(self.ids[at], self.tokens[at]));
            // The handler's own transaction has done it.
            let before = settlement.action == Action::Ack && settlement.receipt.0.is_acked();
            settlement.result = if found || before { SettleResult::Done } else { SettleResult::Lost };
        }
    }
}

/// A reason as PostgreSQL can keep it.
fn shown(reason: &Reason) -> String {
    reason.chars().take(MAX_REASON).map(|c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
