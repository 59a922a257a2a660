//! Stores, queues of one's own, and a client beside them.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chappe_core::backend::{
    Action, ConsumeOptions, Consumer, Delivery, Fetch, Queue, SettleResult, Settlement, StopToken,
};
use chappe_postgres::{PgConsumer, PgQueue, PgReceipt, PgStore};
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

/// Names the URL of a server.
const SERVER: &str = "CHAPPE_TEST_POSTGRES";
/// How long what must happen may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The URL of the server.
pub(crate) fn url() -> String {
    std::env::var(SERVER).unwrap_or_else(|_| panic!("{SERVER} is not set: run by cargo xtask test"))
}

/// The tables of the server.
pub(crate) async fn store() -> PgStore {
    store_at(&url()).await
}

/// The tables of a server.
pub(crate) async fn store_at(url: &str) -> PgStore {
    let store = PgStore::from_url(url).expect("the URL is one");
    store.migrate().await.expect("the tables can be made");
    store
}

/// A queue nobody else has.
pub(crate) async fn queue() -> PgQueue {
    PgQueue::new(&store().await, fresh_name())
}

/// A name nobody else has.
pub(crate) fn fresh_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("q-{:x}-{count}-{:08x}", std::process::id(), fastrand::u32(..))
}

/// A client of the server, beside the backend.
pub(crate) async fn client() -> Client {
    client_at(&url()).await
}

/// A client of a server.
pub(crate) async fn client_at(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the server is there");
    tokio::spawn(connection);
    client
}

/// A consumer of a queue.
pub(crate) async fn consumer(queue: &PgQueue) -> PgConsumer {
    let most = NonZeroUsize::new(100).expect("it is not zero");
    queue.consume(ConsumeOptions::new(StopToken::never(), most)).await.expect("the queue can be consumed")
}

/// The next so many deliveries.
pub(crate) async fn take(consumer: &mut PgConsumer, count: usize) -> Vec<Delivery<PgReceipt>> {
    let mut deliveries = Vec::new();
    timeout(PATIENCE, async {
        while deliveries.len() < count {
            let fetched = consumer.fetch(count - deliveries.len(), &mut deliveries).await;
            assert!(
                fetched.as_ref().is_ok_and(|fetch| *fetch != Fetch::Stopped)
                    || fetched.is_err_and(|e| e.is_retryable())
            );
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{} of {count} messages came", deliveries.len()));
    deliveries
}

/// What settling a delivery comes to.
pub(crate) async fn settle(queue: &PgQueue, delivery: &Delivery<PgReceipt>, action: Action) -> SettleResult {
    let mut batch = [Settlement::new(delivery.receipt.clone(), action)];
    queue.settle(&mut batch).await.expect("it can be settled");
    let [settlement] = batch;
    settlement.result
}

/// How many rows a queue has.
pub(crate) async fn rows(client: &Client, queue: &str) -> i64 {
    client.query_one("SELECT count(*) FROM chappe.message WHERE queue = $1", &[&queue]).await.expect("it counts").get(0)
}
