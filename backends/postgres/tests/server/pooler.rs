//! PgBouncer itself, whose transactions have either of two sessions, however many clients there are.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::{BoxError, Message, OutcomeError, Server, Topic};
use chappe_core::backend::{Action, SettleResult};
use chappe_postgres::{PgLease, PgQueue, PgStore};
use tokio::sync::Notify;
use tokio::time::timeout;
use tower::service_fn;

use crate::support::{PATIENCE, client_at, consumer, fresh_name, rows, settle, store_at, take};

/// Names the URL of the pooler.
const POOLER: &str = "CHAPPE_TEST_PGBOUNCER";

/// The URL of a pool by transactions.
fn pooled() -> String {
    std::env::var(POOLER).unwrap_or_else(|_| panic!("{POOLER} is not set: run by cargo xtask test"))
}

/// The URL of the same database with a session for each client.
fn direct() -> String {
    let url = pooled();
    let (server, _) = url.rsplit_once('/').expect("the URL has a database");
    format!("{server}/direct")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PgBouncer: run by cargo xtask test"]
async fn a_queue_that_does_not_listen_works_behind_a_pooler_by_transactions() {
    const COUNT: usize = 400;
    store_at(&pooled()).await;
    let name = fresh_name();
    let url = format!("{}?queue={name}&listen=false&poll=100ms&lease=1s", pooled());
    let done: Arc<Mutex<HashSet<String>>> = Arc::default();
    let all = Arc::new(Notify::new());
    let mut servers = Vec::new();
    for _ in 0..3 {
        let (done, all) = (Arc::clone(&done), Arc::clone(&all));
        let handler = service_fn(move |message: Message| {
            let (done, all) = (Arc::clone(&done), Arc::clone(&all));
            async move {
                let body = String::from_utf8_lossy(message.body()).into_owned();
                match body.as_str() {
                    // Renewed behind the pooler, it is handled once.
                    "0" => tokio::time::sleep(Duration::from_millis(2_500)).await,
                    "1" => return Err(BoxError::from(OutcomeError::reject("no"))),
                    _ if message.attempt() == 1 && body.ends_with('7') => return Err("not yet".into()),
                    _ => {}
                }
                let mut done = done.lock().unwrap();
                assert!(done.insert(body), "handled twice");
                if done.len() == COUNT - 1 {
                    all.notify_one();
                }
                Ok(())
            }
        });
        let server = Server::new(PgQueue::from_url(&url).unwrap()).concurrency(16);
        servers.push((server.handle(), tokio::spawn(async move { server.serve(handler).await })));
    }

    let publishers = [0, 1].map(|first| {
        let topic = PgQueue::from_url(&url).unwrap().topic();
        tokio::spawn(async move { topic.publish_all((first..COUNT).step_by(2).map(|number| number.to_string())).await })
    });
    for publisher in publishers {
        assert!(publisher.await.unwrap().iter().all(Result::is_ok));
    }
    timeout(PATIENCE, all.notified()).await.expect("all are handled");
    for (handle, serving) in servers {
        handle.shutdown();
        timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();
    }

    let client = client_at(&direct()).await;
    assert_eq!((rows(&client, &name).await, rows(&client, &format!("{name}-dead")).await), (0, 1));
}

/// As the documentation has it: listening takes a session, all else is fine with a transaction.
#[tokio::test]
#[ignore = "needs PgBouncer: run by cargo xtask test"]
async fn consumers_with_a_session_are_woken_by_publishers_behind_a_pooler() {
    store_at(&direct()).await;
    let name = fresh_name();
    let queue = PgQueue::new(&PgStore::from_url(&direct()).unwrap(), &name).poll(PATIENCE * 10);
    let topic = PgQueue::new(&PgStore::from_url(&pooled()).unwrap(), &name).topic();
    let mut consumer = consumer(&queue).await;

    for body in ["one", "two"] {
        let waiting = tokio::spawn(async move {
            let delivery = take(&mut consumer, 1).await.remove(0);
            (consumer, delivery)
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        topic.publish(body).await.unwrap();
        let (same, delivery) = waiting.await.unwrap();
        consumer = same;

        assert_eq!(delivery.message.body(), body);
        assert!(matches!(settle(&queue, &delivery, Action::Ack).await, SettleResult::Done));
    }
}

/// Listening where it is lost is of no use, and does no harm.
#[tokio::test]
#[ignore = "needs PgBouncer: run by cargo xtask test"]
async fn a_queue_that_listens_behind_such_a_pooler_finds_everything_by_looking() {
    let queue = PgQueue::new(&store_at(&pooled()).await, fresh_name());
    let (topic, mut consumer) = (queue.topic(), consumer(&queue).await);

    for number in 0..10 {
        topic.publish(number.to_string()).await.unwrap();
        let delivery = take(&mut consumer, 1).await.remove(0);

        assert_eq!(delivery.message.body(), &*number.to_string());
        assert!(matches!(settle(&queue, &delivery, Action::Ack).await, SettleResult::Done));
    }
}

#[tokio::test]
#[ignore = "needs PgBouncer: run by cargo xtask test"]
async fn a_transaction_behind_a_pooler_publishes_and_acknowledges() {
    let queue = PgQueue::new(&store_at(&pooled()).await, fresh_name()).listen(false);
    queue.topic().publish("in").await.unwrap();
    let delivery = take(&mut consumer(&queue).await, 1).await.remove(0);
    let lease = delivery.message.extensions().get::<PgLease>().unwrap();
    let mut client = client_at(&pooled()).await;

    for commit in [false, true] {
        let transaction = client.transaction().await.unwrap();
        lease.ack_in(&transaction).await.unwrap();
        queue.publisher().enqueue_in(&transaction, "out").await.unwrap();
        if commit {
            transaction.commit().await.unwrap();
        } else {
            transaction.rollback().await.unwrap();
        }
    }

    assert_eq!(take(&mut consumer(&queue).await, 1).await[0].message.body(), "out");
    assert_eq!(rows(&client_at(&direct()).await, queue.name()).await, 1);
}
