//! The table for messages that are too large for a notification.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chappe_core::{Error, ErrorKind};
use tokio::time::sleep;
use tokio_postgres::types::Type;

use super::hub::Hub;
use super::wire::Pointer;
use crate::client::{Backoff, Link, Session};
use crate::error::Call;

/// Makes the table. The lock has those who do it at once do it one after the other, which `IF NOT EXISTS`
/// does not.
const CREATE: &str = "\
SELECT pg_advisory_xact_lock(4846791580151137121);
CREATE UNLOGGED TABLE IF NOT EXISTS chappe_bus_spill (
  id bytea PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  envelope bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS chappe_bus_spill_at ON chappe_bus_spill (at);
";

const EXISTS: &str = "SELECT to_regclass('chappe_bus_spill') IS NOT NULL";
const FETCH: &str = "SELECT id, envelope FROM chappe_bus_spill WHERE id = ANY($1)";
const SWEEP: &str = "DELETE FROM chappe_bus_spill WHERE at < clock_timestamp() - $1 * interval '1 second'";

/// Makes the table unless it is there, which takes the right to do so only if it is not.
pub(super) async fn create(session: &Session, name: &str) -> Result<(), Error> {
    let call = Call { doing: "make table chappe_bus_spill for", name, writes: false };
    let there = session.answer(&call, session.client().query_typed_one(EXISTS, &[])).await?;
    if !there.get::<_, bool>(0) {
        session.answer(&call, session.client().batch_execute(CREATE)).await?;
    }
    Ok(())
}

/// Deletes the rows that are older than `retention`.
pub(super) async fn sweep(session: Arc<Session>, name: Arc<str>, retention: Duration) {
    let call = Call { doing: "delete old large messages of", name: &name, writes: false };
    let seconds = retention.as_secs_f64();
    let parameters = [(&seconds as _, Type::FLOAT8)];
    if let Err(error) = session.answer(&call, session.client().query_typed(SWEEP, &parameters)).await {
        tracing::warn!(bus = %name, %error, "old large messages are left in the table");
    }
}

/// Fetches large messages for the subscribers; runs until it is dropped.
pub(super) async fn run(hub: Arc<Hub>, link: Arc<Link>, name: Arc<str>) {
    let mut backoff = Backoff::default();
    loop {
        hub.spilled.notified().await;
        loop {
            let pointers = hub.unfetched();
            if pointers.is_empty() {
                break;
            }
            match fetch(&link, &name, &pointers).await {
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

async fn fetch(link: &Link, name: &str, pointers: &[Pointer]) -> Result<HashMap<Vec<u8>, Bytes>, Error> {
    let session = link.session().await?;
    let call = Call { doing: "fetch large messages of", name, writes: false };
    let keys: Vec<Vec<u8>> = pointers.iter().map(Pointer::key).collect();
    let parameters = [(&keys as _, Type::BYTEA_ARRAY)];
    let rows = session.answer(&call, session.client().query_typed(FETCH, &parameters)).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get::<_, Vec<u8>>(1).into())).collect())
}
