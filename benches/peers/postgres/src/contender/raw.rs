//! The client in loops one would write by hand: put in a batch, lease a batch, handle it, delete it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_postgres::{Client, Statement};

use super::{Flow, share};
use crate::server::connect;
use crate::{BATCH, BODY, CONSUMERS, PUBLISHERS};

/// How the table is kept.
#[derive(Clone, Copy)]
pub enum Style {
    /// With all that is known to be fast: arrays, one time for what is visible, an index by it.
    Best,
    /// As pgmq does: JSON, the oldest by number, those that are visible.
    Pgmq,
}

/// A queue of its own.
pub struct Table {
    style: Style,
    name: String,
}

impl Table {
    pub async fn make(style: Style) -> Arc<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("raw_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let columns = match style {
            Style::Best => {
                "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, vt timestamptz NOT NULL DEFAULT clock_timestamp(),
                attempts int NOT NULL DEFAULT 0, lease bigint NOT NULL DEFAULT 0, attributes text[] NOT NULL, body bytea NOT NULL"
            }
            Style::Pgmq => {
                "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, read_ct int NOT NULL DEFAULT 0,
                enqueued_at timestamptz NOT NULL DEFAULT now(), vt timestamptz NOT NULL DEFAULT now(), message jsonb"
            }
        };
        let index = match style {
            Style::Best => "vt, id",
            Style::Pgmq => "vt",
        };
        let sql = format!(
            "CREATE TABLE {name} ({columns}) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0); CREATE INDEX ON {name} ({index})"
        );
        connect().await.batch_execute(&sql).await.expect("a table can be made");
        Arc::new(Self { style, name })
    }

    pub async fn publish(self: &Arc<Self>, messages: usize) {
        let mut publishers = JoinSet::new();
        for share in share(messages, PUBLISHERS) {
            let table = Arc::clone(self);
            publishers.spawn(async move {
                let publisher = Publisher::new(&table).await;
                for first in (0..share).step_by(BATCH) {
                    publisher.put(BATCH.min(share - first)).await;
                }
            });
        }
        publishers.join_all().await;
    }

    pub async fn consume(self: &Arc<Self>, messages: usize) {
        let left = Arc::new(AtomicU64::new(messages as u64));
        let mut consumers = JoinSet::new();
        for _ in 0..CONSUMERS {
            let (table, left) = (Arc::clone(self), Arc::clone(&left));
            consumers.spawn(async move {
                let consumer = Consumer::new(&table).await;
                while left.load(Ordering::Relaxed) > 0 {
                    left.fetch_sub(consumer.take().await, Ordering::Relaxed);
                }
            });
        }
        consumers.join_all().await;
    }

    /// Both sides at once.
    pub async fn flow(self: &Arc<Self>, time: Duration) -> f64 {
        let flow = Arc::new(Flow::default());
        let mut tasks = JoinSet::new();
        for _ in 0..PUBLISHERS {
            let (table, flow) = (Arc::clone(self), Arc::clone(&flow));
            tasks.spawn(async move {
                let publisher = Publisher::new(&table).await;
                while !flow.is_over() {
                    flow.room().await;
                    publisher.put(BATCH).await;
                    flow.published.fetch_add(BATCH as u64, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..CONSUMERS {
            let (table, flow) = (Arc::clone(self), Arc::clone(&flow));
            tasks.spawn(async move {
                let consumer = Consumer::new(&table).await;
                while !flow.is_over() {
                    let taken = consumer.take().await;
                    flow.handled.fetch_add(taken, Ordering::Relaxed);
                    if taken == 0 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            });
        }
        let rate = flow.measure(time).await;
        tasks.join_all().await;
        rate
    }

    pub async fn remove(&self) {
        connect().await.batch_execute(&format!("DROP TABLE {}", self.name)).await.expect("a table can be dropped");
    }
}

struct Publisher {
    client: Client,
    insert: Statement,
    style: Style,
}

impl Publisher {
    async fn new(table: &Table) -> Self {
        let client = connect().await;
        let name = &table.name;
        let sql = match table.style {
            Style::Best => format!(
                "INSERT INTO {name} (attributes, body) SELECT a::text[], b FROM unnest($1::text[], $2::bytea[]) AS u (a, b) RETURNING id"
            ),
            Style::Pgmq => {
                format!("INSERT INTO {name} (message) SELECT m::jsonb FROM unnest($1::text[]) m RETURNING id")
            }
        };
        let insert = client.prepare(&sql).await.expect("the statement is right");
        Self { client, insert, style: table.style }
    }

    async fn put(&self, messages: usize) {
        let rows = match self.style {
            Style::Best => {
                let attributes = vec!["{a,value,b,value,c,value,d,value}"; messages];
                let bodies = vec![BODY.as_bytes(); messages];
                self.client.query(&self.insert, &[&attributes, &bodies]).await
            }
            Style::Pgmq => {
                let body = BODY.replace(['"', '\\', '\n'], " ");
                let message =
                    format!(r#"{{"attributes":{{"a":"value","b":"value","c":"value","d":"value"}},"body":"{body}"}}"#);
                self.client.query(&self.insert, &[&vec![message; messages]]).await
            }
        };
        assert_eq!(rows.expect("a batch can be put in").len(), messages);
    }
}

struct Consumer {
    client: Client,
    fetch: Statement,
    delete: Statement,
    style: Style,
}

impl Consumer {
    async fn new(table: &Table) -> Self {
        let client = connect().await;
        let name = &table.name;
        let (fetch, delete) = match table.style {
            Style::Best => (
                format!(
                    "WITH c AS (SELECT id FROM {name} WHERE vt <= statement_timestamp() ORDER BY vt, id LIMIT $1 FOR UPDATE SKIP LOCKED)
                    UPDATE {name} q SET vt = clock_timestamp() + interval '30 s', attempts = attempts + 1, lease = $2
                    FROM c, (SELECT set_config('synchronous_commit', 'off', true) OFFSET 0) relaxed
                    WHERE q.id = c.id RETURNING q.id, q.attempts, q.attributes, q.body"
                ),
                format!(
                    "DELETE FROM {name} q USING unnest($1::bigint[]) r (id) WHERE q.id = r.id AND q.lease = $2 RETURNING q.id"
                ),
            ),
            Style::Pgmq => (
                format!(
                    "WITH c AS (SELECT id FROM {name} WHERE vt <= clock_timestamp() ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
                    UPDATE {name} q SET vt = clock_timestamp() + interval '30 s', read_ct = read_ct + 1
                    FROM c WHERE q.id = c.id RETURNING q.id, q.read_ct, q.enqueued_at, q.vt, q.message::text"
                ),
                format!("DELETE FROM {name} WHERE id = ANY($1) RETURNING id"),
            ),
        };
        client.batch_execute("SET enable_seqscan = off").await.expect("it can be set");
        let fetch = client.prepare(&fetch).await.expect("the statement is right");
        let delete = client.prepare(&delete).await.expect("the statement is right");
        Self { client, fetch, delete, style: table.style }
    }

    async fn take(&self) -> u64 {
        let token = 7_i64;
        let most = BATCH as i64;
        let rows = match self.style {
            Style::Best => self.client.query(&self.fetch, &[&most, &token]).await,
            Style::Pgmq => self.client.query(&self.fetch, &[&most]).await,
        };
        let rows = rows.expect("a batch can be taken");
        if rows.is_empty() {
            return 0;
        }
        let ids: Vec<i64> = rows
            .iter()
            .map(|row| {
                let size = match self.style {
                    Style::Best => row.get::<_, Vec<&str>>(2).len() + row.get::<_, &[u8]>(3).to_vec().len(),
                    Style::Pgmq => row.get::<_, String>(4).len(),
                };
                assert!(size >= BODY.len());
                row.get(0)
            })
            .collect();
        let deleted = match self.style {
            Style::Best => self.client.query(&self.delete, &[&ids, &token]).await,
            Style::Pgmq => self.client.query(&self.delete, &[&ids]).await,
        };
        deleted.expect("a batch can be deleted").len() as u64
    }
}
