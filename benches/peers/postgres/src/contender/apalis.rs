//! apalis with its PostgreSQL storage, as its documents have it: tasks put in by the batch and without a lock of
//! their own, workers woken by `NOTIFY`. A task that is done stays in the table, and keeps its row.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use apalis::prelude::*;
use apalis_postgres::queries::push_tasks;
use apalis_postgres::{Config, PgPool, PgTask, PostgresStorage};
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;

use super::{Flow, share};
use crate::server::{connect, url};
use crate::{BATCH, BODY, CONCURRENCY, PUBLISHERS};

/// A queue of its own.
pub struct Apalis {
    pool: PgPool,
    name: String,
}

impl Apalis {
    pub async fn make() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // As many as it uses at once: publishers, fetching, settling, listening, a heartbeat.
        let pool = PgPoolOptions::new().max_connections(6).connect(&url()).await.expect("the server is there");
        PostgresStorage::setup(&pool).await.expect("the tables can be made");
        let name = format!("bench-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { pool, name }
    }

    pub async fn publish(&self, messages: usize) {
        let mut publishers = JoinSet::new();
        for share in share(messages, PUBLISHERS) {
            let (pool, name) = (self.pool.clone(), self.name.clone());
            publishers.spawn(async move {
                for first in (0..share).step_by(BATCH) {
                    put(&pool, &name, BATCH.min(share - first)).await;
                }
            });
        }
        publishers.join_all().await;
    }

    pub async fn consume(&self, messages: usize) {
        let worker = WorkerBuilder::new(format!("{}-consume", self.name))
            .backend(self.storage().with_pubsub())
            .data(Arc::new(AtomicU64::new(messages as u64)))
            .concurrency(CONCURRENCY)
            .build(last_stops);
        // It ends when what is done is in the table.
        worker.run().await.expect("the worker stops when it is told to");
        assert_eq!(self.done().await, messages as i64);
    }

    /// Both sides at once.
    pub async fn flow(&self, time: Duration) -> f64 {
        let flow = Arc::new(Flow::default());
        let mut publishers = JoinSet::new();
        for _ in 0..PUBLISHERS {
            let (pool, name, flow) = (self.pool.clone(), self.name.clone(), Arc::clone(&flow));
            publishers.spawn(async move {
                while !flow.is_over() {
                    flow.room().await;
                    put(&pool, &name, BATCH).await;
                    flow.published.fetch_add(BATCH as u64, Ordering::Relaxed);
                }
            });
        }
        let worker = WorkerBuilder::new(format!("{}-flow-{}", self.name, time.as_secs()))
            .backend(self.storage().with_pubsub())
            .data(Arc::clone(&flow))
            .concurrency(CONCURRENCY)
            .build(counted);
        tokio::select! {
            stopped = worker.run() => panic!("the worker stopped: {stopped:?}"),
            rate = flow.measure(time) => {
                publishers.join_all().await;
                rate
            }
        }
    }

    pub async fn remove(self) {
        self.pool.close().await;
        connect().await.batch_execute("TRUNCATE apalis.jobs").await.expect("the table can be emptied");
    }

    fn storage(&self) -> PostgresStorage<String> {
        PostgresStorage::new(&self.pool)
            .with_config(Config::default().queue(&self.name).batch_size(BATCH).lock_tasks(false))
    }

    async fn done(&self) -> i64 {
        let sql = "SELECT count(*) FROM apalis.jobs WHERE job_type = $1 AND status = 'Done'";
        connect().await.query_one(sql, &[&self.name]).await.expect("it counts").get(0)
    }
}

async fn put(pool: &PgPool, queue: &str, messages: usize) {
    let mut transaction = pool.begin().await.expect("a connection is free");
    let tasks = (0..messages).map(|_| task()).collect();
    push_tasks(&mut *transaction, queue, tasks).await.expect("a batch can be put in");
    transaction.commit().await.expect("it is there");
}

/// The body as JSON, which is what its codec reads.
fn task() -> PgTask {
    let metadata = ["a", "b", "c", "d"].into_iter().map(|name| (name, "value")).collect();
    TaskBuilder::new(format!("\"{BODY}\"").into_bytes()).with_metadata(metadata).build()
}

async fn last_stops(body: String, left: Data<Arc<AtomicU64>>, worker: WorkerContext) -> Result<(), BoxDynError> {
    assert_eq!(body.len(), BODY.len());
    if left.fetch_sub(1, Ordering::Relaxed) == 1 {
        worker.stop()?;
    }
    Ok(())
}

async fn counted(body: String, flow: Data<Arc<Flow>>) {
    assert_eq!(body.len(), BODY.len());
    flow.handled.fetch_add(1, Ordering::Relaxed);
}
