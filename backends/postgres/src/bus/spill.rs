//! [`Table`], for messages that are too large for a notification.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chappe_core::{Error, ErrorKind};
use tokio::time::sleep;
use tokio_postgres::types::{ToSql, Type};

use super::hub::Hub;
use super::wire::Pointer;
use crate::PgStore;
use crate::client::{Backoff, Link, Session};
use crate::error::Call;

/// By the catalogue, which everybody may read.
const THERE: &str = "SELECT count(*) > 0, count(c.oid) > 0 FROM pg_namespace n \
    LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'bus_spill' WHERE n.nspname = $1";

/// The table of a schema.
pub(super) struct Table {
    schema: Box<str>,
    pub(super) insert: String,
    fetch: String,
    sweep: String,
}

impl Table {
    pub(super) fn new(store: &PgStore) -> Self {
        let schema = store.schema_name();
        let table = format!("{schema}.bus_spill");
        Self {
            // One transaction, so that no notification is without its row. The table is not logged, so that the
            // lock that notifying takes is not held while a disk writes.
            insert: format!(
                "WITH spilled AS (INSERT INTO {table} (id, envelope) SELECT * FROM unnest($3::bytea[], $4::bytea[])) \
                 SELECT count(pg_notify($1, payload)) FROM unnest($2::text[]) payload"
            ),
            fetch: format!("SELECT id, envelope FROM {table} WHERE id = ANY($1)"),
            sweep: format!("DELETE FROM {table} WHERE at < clock_timestamp() - $1 * interval '1 second'"),
            schema: schema.into(),
        }
    }

    /// Makes the table unless it is there, which takes the right to do so only if it is not.
    pub(super) async fn create(&self, session: &Session, name: &str) -> Result<(), Error> {
        let call = Call { doing: "make a table for large messages of", what: "bus", name, writes: false };
        let schema = &self.schema;
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&&**schema, Type::TEXT)];
        let there = session.answer(&call, session.client().query_typed_one(THERE, &parameters)).await?;
        let (has_schema, has_table): (bool, bool) = (there.get(0), there.get(1));
        if !has_table {
            let create = self.statements(!has_schema);
            session.answer(&call, session.client().batch_execute(&create)).await?;
        }
        Ok(())
    }

    /// One transaction. The lock has those who do it at once do it one after the other, which `IF NOT EXISTS`
    /// does not.
    fn statements(&self, with_schema: bool) -> String {
        let schema = &self.schema;
        let create_schema = if with_schema { format!("CREATE SCHEMA IF NOT EXISTS {schema};") } else { String::new() };
        format!(
            "SELECT pg_advisory_xact_lock(4846791580151137121); {create_schema}
             CREATE UNLOGGED TABLE IF NOT EXISTS {schema}.bus_spill (
               id bytea PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(), envelope bytea NOT NULL);
             CREATE INDEX IF NOT EXISTS bus_spill_at ON {schema}.bus_spill (at);"
        )
    }

    /// Deletes the rows that are older than `retention`.
    pub(super) async fn sweep(self: Arc<Self>, session: Arc<Session>, name: Arc<str>, retention: Duration) {
        let call = Call { doing: "delete old large messages of", what: "bus", name: &name, writes: false };
        let seconds = retention.as_secs_f64();
        let parameters = [(&seconds as _, Type::FLOAT8)];
        if let Err(error) = session.answer(&call, session.client().query_typed(&self.sweep, &parameters)).await {
            tracing::warn!(bus = %name, %error, "old large messages are left in their table");
        }
    }

    async fn fetch(&self, link: &Link, name: &str, pointers: &[Pointer]) -> Result<HashMap<Vec<u8>, Bytes>, Error> {
        let session = link.session().await?;
        let call = Call { doing: "fetch large messages of", what: "bus", name, writes: false };
        let keys: Vec<Vec<u8>> = pointers.iter().map(Pointer::key).collect();
        let parameters = [(&keys as _, Type::BYTEA_ARRAY)];
        let rows = session.answer(&call, session.client().query_typed(&self.fetch, &parameters)).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get::<_, Vec<u8>>(1).into())).collect())
    }
}

/// Fetches large messages for the subscribers; runs until it is dropped.
pub(super) async fn run(hub: Arc<Hub>, link: Arc<Link>, table: Arc<Table>, name: Arc<str>) {
    let mut backoff = Backoff::default();
    loop {
        hub.spilled.notified().await;
        loop {
            let pointers = hub.unfetched();
            if pointers.is_empty() {
                break;
            }
            match table.fetch(&link, &name, &pointers).await {
                Ok(rows) => {
                    backoff = Backoff::default();
                    if rows.len() < pointers.len() {
                        let gone = pointers.len() - rows.len();
                        tracing::warn!(bus = %name, gone, "large messages were deleted before they were fetched");
                    }
                    hub.fetched(&pointers, &rows);
                }
                // The rows may be there when the server is.
                Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) => {
                    tracing::debug!(bus = %name, %error, "large messages are fetched later");
                    sleep(backoff.next()).await;
                }
                Err(error) => {
                    tracing::warn!(bus = %name, %error, "large messages cannot be fetched and are a gap");
                    hub.fetched(&pointers, &HashMap::new());
                }
            }
        }
    }
}
