//! Publishing and settling within transactions of the user.

use std::collections::BTreeSet;
use std::time::Duration;

use chappe::{Message, Server, Topic};
use chappe_core::backend::{Action, SettleResult};
use chappe_core::{Error, ErrorKind};
use chappe_postgres::PgLease;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tower::service_fn;

use crate::support::{PATIENCE, client, consumer, queue, rows, settle, take};

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_transaction_that_is_rolled_back_publishes_nothing_and_one_that_commits_is_seen_without_being_told() {
    let queue = queue().await;
    let publisher = queue.publisher();
    let mut client = client().await;
    let mut consumer = consumer(&queue).await;

    let transaction = client.transaction().await.unwrap();
    publisher.enqueue_in(&transaction, "never").await.unwrap();
    transaction.rollback().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let published = publisher.enqueue_in(&transaction, "always").await.unwrap();
    transaction.commit().await.unwrap();
    let since = Instant::now();
    let delivery = take(&mut consumer, 1).await.remove(0);

    assert_eq!(delivery.message.body(), "always");
    assert_eq!(delivery.message.id(), published.id.as_ref());
    assert!(since.elapsed() < Duration::from_secs(10), "it took {:?}", since.elapsed());
    settle(&queue, &delivery, Action::Ack).await;
    assert_eq!(rows(&client, queue.name()).await, 0);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn an_id_is_stored_once_whoever_publishes_it_and_also_after_it_was_handled() {
    let queue = queue().await;
    let (publisher, topic) = (queue.publisher(), queue.topic());
    let mut client = client().await;
    let mut once = Message::new("once");
    once.set_id("order-7");

    let first = topic.publish(once.clone()).await.unwrap();
    let mut consumer = consumer(&queue).await;
    let delivery = take(&mut consumer, 1).await.remove(0);
    settle(&queue, &delivery, Action::Ack).await;
    let transaction = client.transaction().await.unwrap();
    let second = publisher.enqueue_in(&transaction, once.clone()).await.unwrap();
    let all = publisher.enqueue_all_in(&transaction, &[Message::new("a"), once, Message::new("b")]).await.unwrap();
    transaction.commit().await.unwrap();
    let sql = "SELECT chappe.enqueue($1, 'x', id => 'order-7')";
    let third: Option<i64> = client.query_one(sql, &[&queue.name()]).await.unwrap().get(0);

    assert!(!first.duplicate && second.duplicate && third.is_none());
    assert_eq!(all.iter().map(|published| published.duplicate).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(rows(&client, queue.name()).await, 2);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn plain_sql_publishes_what_a_consumer_reads() {
    let queue = queue().await;
    let client = client().await;
    let one = "SELECT chappe.enqueue($1, 'body', '{type,order.created,empty,\"\",none,NULL}', key => 'k'::bytea)";
    let many = "SELECT count(*) FROM chappe.enqueue_many($1, ARRAY['a','b','c']::bytea[], ARRAY['{n,1}', NULL], ids => ARRAY['x', 'y', 'x'])";

    client.query_one(one, &[&queue.name()]).await.unwrap();
    let stored: i64 = client.query_one(many, &[&queue.name()]).await.unwrap().get(0);
    client.execute("SELECT chappe.wake($1)", &[&queue.name()]).await.unwrap();
    let mut consumer = consumer(&queue).await;
    let deliveries = take(&mut consumer, 3).await;

    let message = &deliveries[0].message;
    assert_eq!((stored, message.body()), (2, &"body".into()));
    assert_eq!(message.attributes().get_str("type"), Some("order.created"));
    assert_eq!(message.attributes().get_str("empty"), Some(""));
    assert_eq!(message.attributes().get("none"), Some(&chappe::Value::Null));
    assert_eq!(message.key().and_then(|key| key.as_str()), Some("k"));
    assert_eq!(deliveries[1].message.attributes().get_str("n"), Some("1"));
    assert!(deliveries[2].message.attributes().is_empty());
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn what_a_handler_acknowledged_in_its_transaction_is_done_and_what_it_rolled_back_is_not() {
    let queue = queue().await;
    queue.topic().publish("x").await.unwrap();
    let mut client = client().await;
    let mut consumer = consumer(&queue).await;
    let delivery = take(&mut consumer, 1).await.remove(0);
    let lease = delivery.message.extensions().get::<PgLease>().unwrap().clone();

    let transaction = client.transaction().await.unwrap();
    lease.ack_in(&transaction).await.unwrap();
    transaction.rollback().await.unwrap();
    let back = settle(&queue, &delivery, Action::Retry { delay: Duration::ZERO, reason: None }).await;
    let again = take(&mut consumer, 1).await.remove(0);
    let stale = client.transaction().await.unwrap();
    let error = lease.ack_in(&stale).await.unwrap_err();
    stale.rollback().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    again.message.extensions().get::<PgLease>().unwrap().ack_in(&transaction).await.unwrap();
    transaction.commit().await.unwrap();
    let done = settle(&queue, &again, Action::Ack).await;

    assert!(matches!(back, SettleResult::Done), "{back:?}");
    assert_eq!(error.kind(), ErrorKind::LeaseLost);
    assert!(matches!(done, SettleResult::Done), "{done:?}");
    assert_eq!(rows(&client, queue.name()).await, 0);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn what_commits_late_is_found_though_later_rows_were_handled_before() {
    let queue = queue().await;
    let publisher = queue.publisher();
    let mut slow = client().await;
    let mut consumer = consumer(&queue).await;

    let open = slow.transaction().await.unwrap();
    publisher.enqueue_in(&open, "early but late").await.unwrap();
    for body in ["a", "b", "c"] {
        queue.topic().publish(body).await.unwrap();
        let delivery = take(&mut consumer, 1).await.remove(0);
        assert_eq!(delivery.message.body(), body);
        settle(&queue, &delivery, Action::Ack).await;
    }
    open.commit().await.unwrap();
    let delivery = take(&mut consumer, 1).await.remove(0);

    assert_eq!(delivery.message.body(), "early but late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_relay_to_another_topic_passes_on_what_commits_and_skips_no_open_transaction() {
    let (outbox, mut slow) = (queue().await, client().await);
    let (sender, mut relayed) = mpsc::unbounded_channel();
    let elsewhere = service_fn(move |message: Message| {
        let _ = sender.send(String::from_utf8_lossy(message.body()).into_owned());
        async { Ok::<_, Error>(chappe::Published::new(None)) }
    });
    let source = outbox.clone();
    let server = tokio::spawn(async move { Server::new(source).serve(elsewhere).await.map(drop) });
    let outbox = outbox.publisher();

    let open = slow.transaction().await.unwrap();
    outbox.enqueue_in(&open, "first").await.unwrap();
    let mut fast = client().await;
    for number in 0..20 {
        let transaction = fast.transaction().await.unwrap();
        outbox.enqueue_in(&transaction, number.to_string()).await.unwrap();
        if number % 2 == 0 { transaction.commit().await.unwrap() } else { transaction.rollback().await.unwrap() }
    }
    outbox.wake();
    let mut seen = BTreeSet::new();
    while seen.len() < 10 {
        seen.insert(timeout(PATIENCE, relayed.recv()).await.unwrap().unwrap());
    }
    let early = seen.contains("first");
    open.commit().await.unwrap();
    let last = timeout(PATIENCE, relayed.recv()).await.unwrap().unwrap();

    assert!(!early && seen.iter().all(|number| number.parse::<u32>().is_ok_and(|number| number % 2 == 0)), "{seen:?}");
    assert_eq!(last, "first");
    server.abort();
}
