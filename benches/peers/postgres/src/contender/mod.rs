//! Who does the work: publishes so many messages, then handles and settles them; or both at once, for a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

pub mod ours;
pub mod raw;

/// How many may wait in the queue while both sides run.
pub const BACKLOG: u64 = 5_000;

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
        while !self.is_over()
            && self.published.load(Ordering::Relaxed) > self.handled.load(Ordering::Relaxed) + BACKLOG
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

/// The server's URL.
pub fn url() -> String {
    std::env::var("CHAPPE_TEST_POSTGRES").expect("CHAPPE_TEST_POSTGRES names a server: run by cargo xtask bench postgres")
}

pub async fn connect() -> Client {
    let (client, connection) = tokio_postgres::connect(&url(), NoTls).await.expect("the server is there");
    tokio::spawn(connection);
    client
}

/// Holds a transaction open that keeps dead rows from being removed, until it is dropped.
pub async fn hold() -> Client {
    let client = connect().await;
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class").await.expect("it begins");
    client
}
