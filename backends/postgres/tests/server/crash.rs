//! Servers that crash at the worst moment.

use std::sync::Arc;
use std::time::Duration;

use chappe::Topic;
use chappe_conformance::{Direction, Relay};
use chappe_core::backend::{Action, Queue, SettleResult, Settlement};
use chappe_postgres::{PgQueue, PgStore};
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::support::{PATIENCE, client_at, consumer, rows, settle, store_at, take};

/// What a settlement comes to that is tried until it is answered.
async fn settled(queue: &PgQueue, batch: &mut [Settlement<chappe_postgres::PgReceipt>]) {
    let answered = async {
        while let Err(error) = queue.settle(batch).await {
            assert!(error.is_retryable(), "{error:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, answered).await.expect("it is answered at last");
}

/// The server deletes the row and dies before its answer is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn what_was_acknowledged_before_a_crash_does_not_come_back() {
    let cluster = Cluster::start().await;
    store_at(&cluster.url()).await;
    let relay = Relay::to(("127.0.0.1", cluster.port())).await.unwrap();
    let behind = format!("postgres://postgres@{}/postgres", relay.addr());
    let queue = PgQueue::new(&PgStore::from_url(&behind).unwrap(), "q").lease(Duration::from_secs(1));
    for body in ["done", "held"] {
        queue.topic().publish(body).await.unwrap();
    }
    let mut first = consumer(&queue).await;
    let deliveries = take(&mut first, 2).await;
    let done = deliveries.iter().find(|delivery| delivery.message.body() == "done").unwrap();
    drop(first);
    let receipt = done.receipt.clone();
    let beside = client_at(&cluster.url()).await;
    // So that the connection that settles is there.
    settle(&queue, done, Action::Extend { by: Duration::from_secs(1) }).await;

    relay.blackhole(Direction::ToClient);
    let (settling, ours) = (queue.clone(), receipt.clone());
    let unanswered = tokio::spawn(async move { settling.settle(&mut [Settlement::new(ours, Action::Ack)]).await });
    let deleted = async {
        while rows(&beside, "q").await > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, deleted).await.unwrap();
    cluster.crash();
    relay.cut();
    relay.heal().await;
    cluster.again().await;
    let mut again = [Settlement::new(receipt, Action::Ack)];
    settled(&queue, &mut again).await;
    let back = take(&mut consumer(&queue).await, 1).await;

    assert!(timeout(PATIENCE, unanswered).await.unwrap().unwrap().is_err_and(|error| error.is_retryable()));
    assert!(matches!(again[0].result, SettleResult::Lost | SettleResult::Done), "{:?}", again[0].result);
    assert!(back[0].message.body() == "held" && back[0].message.attempt() == 2, "{:?}", back[0].message);
    assert_eq!(rows(&client_at(&cluster.url()).await, "q").await, 1);
}

/// At whatever moment the server dies, a message is in the queue or in the dead letter, never in both or none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn rejected_messages_are_in_one_queue_or_the_other_whenever_the_server_is_killed() {
    const COUNT: usize = 2_000;
    let cluster = Arc::new(Cluster::start().await);
    let queue = PgQueue::new(&store_at(&cluster.url()).await, "q");
    let results = queue.topic().publish_all((0..COUNT).map(|number| number.to_string())).await;
    assert!(results.iter().all(Result::is_ok));
    let mut consumer = consumer(&queue).await;
    let deliveries = take(&mut consumer, COUNT).await;
    let beside = client_at(&cluster.url()).await;

    let burying = queue.clone();
    let task = tokio::spawn(async move {
        for some in deliveries.chunks(10) {
            let reason = || Action::DeadLetter { reason: "enough".into() };
            let mut batch: Vec<_> =
                some.iter().map(|delivery| Settlement::new(delivery.receipt.clone(), reason())).collect();
            settled(&burying, &mut batch).await;
            let known = |entry: &Settlement<_>| matches!(entry.result, SettleResult::Done | SettleResult::Lost);
            assert!(batch.iter().all(known), "{batch:?}");
        }
    });
    let begun = async {
        while rows(&beside, "q-dead").await < 100 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, begun).await.unwrap();
    cluster.kill();
    cluster.again().await;
    let beside = client_at(&cluster.url()).await;
    let each = "SELECT count(*), count(DISTINCT id), count(DISTINCT body) FROM chappe.message";
    let row = beside.query_one(each, &[]).await.unwrap();
    timeout(PATIENCE, task).await.unwrap().unwrap();

    let count = i64::try_from(COUNT).unwrap();
    assert_eq!([0, 1, 2].map(|at| row.get::<_, i64>(at)), [count; 3]);
    assert_eq!((rows(&beside, "q").await, rows(&beside, "q-dead").await), (0, count));
}
