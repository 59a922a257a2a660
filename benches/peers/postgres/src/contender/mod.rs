//! Who does the work: publishes so many messages, then handles and settles them; or both at once, for a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chappe::postgres::PgQueue;
use tokio_postgres::Client;

pub mod apalis;
pub mod ours;
pub mod raw;

use self::apalis::Apalis;
use self::raw::{Style, Table};
use crate::server::connect;
use crate::watch::{Taken, Watch};

/// How many may wait in the queue while both sides run.
const BACKLOG: u64 = 5_000;

/// One way of doing it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Raw,
    Ours,
    Pgmq,
    Apalis,
}

/// A queue of its own, with nothing in it.
pub enum Contender {
    Raw(Arc<Table>),
    Ours(PgQueue),
    Apalis(Apalis),
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Raw, Self::Ours, Self::Pgmq, Self::Apalis];

    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw client, by hand",
            Self::Ours => "chappe",
            Self::Pgmq => "SQL as pgmq has it",
            Self::Apalis => "apalis 1.0.0",
        }
    }

    pub async fn make(self) -> Contender {
        match self {
            Self::Raw => Contender::Raw(Table::make(Style::Best).await),
            Self::Ours => Contender::Ours(ours::queue().await),
            Self::Pgmq => Contender::Raw(Table::make(Style::Pgmq).await),
            Self::Apalis => Contender::Apalis(Apalis::make().await),
        }
    }
}

impl Contender {
    pub async fn publish(&self, messages: usize) -> Taken {
        let watch = Watch::start().await;
        match self {
            Self::Raw(table) => table.publish(messages).await,
            Self::Ours(queue) => ours::publish(queue, messages).await,
            Self::Apalis(apalis) => apalis.publish(messages).await,
        }
        watch.stop().await
    }

    pub async fn consume(&self, messages: usize) -> Taken {
        let watch = Watch::start().await;
        match self {
            Self::Raw(table) => table.consume(messages).await,
            Self::Ours(queue) => ours::consume(queue, messages).await,
            Self::Apalis(apalis) => apalis.consume(messages).await,
        }
        watch.stop().await
    }

    /// Messages a second, with both sides at work.
    pub async fn flow(&self, time: Duration) -> f64 {
        match self {
            Self::Raw(table) => table.flow(time).await,
            Self::Ours(queue) => ours::flow(queue, time).await,
            Self::Apalis(apalis) => apalis.flow(time).await,
        }
    }

    pub async fn remove(self) {
        match self {
            Self::Raw(table) => table.remove().await,
            Self::Ours(queue) => ours::remove(&queue).await,
            Self::Apalis(apalis) => apalis.remove().await,
        }
    }
}

/// What both sides of a queue have done.
#[derive(Default)]
pub struct Flow {
    pub published: AtomicU64,
    pub handled: AtomicU64,
    pub over: AtomicBool,
}

impl Flow {
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits until there is room for more.
    pub async fn room(&self) {
        while !self.is_over() && self.published.load(Ordering::Relaxed) > self.handled.load(Ordering::Relaxed) + BACKLOG
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Messages handled in a second, over the last third of a time.
    pub async fn measure(self: &Arc<Self>, time: Duration) -> f64 {
        tokio::time::sleep(time * 2 / 3).await;
        let before = self.handled.load(Ordering::Relaxed);
        tokio::time::sleep(time / 3).await;
        let rate = (self.handled.load(Ordering::Relaxed) - before) as f64 / (time / 3).as_secs_f64();
        self.over.store(true, Ordering::Relaxed);
        rate
    }
}

/// So many of `messages` for each of `workers`.
pub fn share(messages: usize, workers: usize) -> impl Iterator<Item = usize> {
    (0..workers).map(move |worker| messages / workers + usize::from(worker < messages % workers))
}

/// Holds a transaction open that keeps dead rows from being removed, until it is dropped.
pub async fn hold() -> Client {
    let client = connect().await;
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class")
        .await
        .expect("it begins");
    client
}
