//! [`Insert`], the statement that puts messages into a queue.

use tokio_postgres::types::{ToSql, Type};

use crate::PgStore;
use crate::wire::{Column, Columns};

/// A statement for the columns some messages have something in. It takes the queue first.
pub(super) struct Insert<'a> {
    pub(super) sql: String,
    columns: Vec<Column<'a>>,
}

impl<'a> Insert<'a> {
    pub(super) fn of(columns: &'a Columns<'_>, store: &PgStore) -> Self {
        let used = columns.used();
        // Without ids there is nothing to look up.
        let sql = if columns.any_id() { insert_once(&used) } else { insert_all(&used) };
        Self { sql: store.sql(&sql), columns: used }
    }

    pub(super) fn parameters(&'a self, queue: &'a (dyn ToSql + Sync)) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![(queue, Type::TEXT)];
        parameters.extend(self.columns.iter().map(|column| (column.given, column.kind.clone())));
        parameters
    }
}

/// A function's rows come and are stored in the order of its arrays; sorting them would be a tenth of the work.
fn insert_all(columns: &[Column<'_>]) -> String {
    let names = names(columns);
    insert(columns, &format!("unnest({}) AS g ({names}) RETURNING m.id", parameters(columns)))
}

/// Leaves out those whose id was seen within ten minutes, and later ones of the same id. In the order of the
/// ids, so that two of these cannot wait for each other.
fn insert_once(columns: &[Column<'_>]) -> String {
    let (names, parameters) = (names(columns), parameters(columns));
    let fresh = "given g WHERE g.dedup IS NULL OR (g.nth = 1 AND g.dedup IN (SELECT f.id FROM fresh f))
        ORDER BY g.n RETURNING m.id, m.dedup";
    let insert = insert(columns, fresh);
    format!(
        "WITH given AS MATERIALIZED (
            SELECT u.*, row_number() OVER (PARTITION BY u.dedup ORDER BY u.n) AS nth
            FROM unnest({parameters}) WITH ORDINALITY AS u ({names}, n)
        ), fresh AS (
            INSERT INTO {{schema}}.dedup AS d (queue, id)
            SELECT $1, g.dedup FROM given g WHERE g.dedup IS NOT NULL AND g.nth = 1 ORDER BY g.dedup
            ON CONFLICT (queue, id) DO UPDATE SET seen = clock_timestamp()
            WHERE d.seen < clock_timestamp() - interval '10 minutes'
            RETURNING d.id)
        {insert}"
    )
}

fn insert(columns: &[Column<'_>], from: &str) -> String {
    let values: Vec<&str> = columns.iter().map(|column| column.value).collect();
    format!(
        "INSERT INTO {{schema}}.message AS m (queue, {}) SELECT $1, {} FROM {from}",
        names(columns),
        values.join(", ")
    )
}

fn names(columns: &[Column<'_>]) -> String {
    columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

fn parameters(columns: &[Column<'_>]) -> String {
    (2..columns.len() + 2).map(|at| format!("${at}")).collect::<Vec<_>>().join(", ")
}
