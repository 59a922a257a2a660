//! What a queue has beyond the suite, and what it says of bad input.

use std::time::Duration;

use chappe::{Message, Topic};
use chappe_core::ErrorKind;
use chappe_core::backend::{Action, Consumer, Queue, SettleResult, Settlement};
use chappe_postgres::{PgQueue, PgStore};
use tokio::time::timeout;

use crate::support::{PATIENCE, client, consumer, fresh_name, queue, rows, settle, store, take, url};

async fn kind_of_consuming(queue: &PgQueue) -> (ErrorKind, String) {
    let options = chappe_core::backend::ConsumeOptions::new(
        chappe_core::backend::StopToken::never(),
        std::num::NonZeroUsize::MIN,
    );
    let error = queue.consume(options).await.expect_err("it cannot be consumed");
    (error.kind(), format!("{error} {error:?}"))
}

fn a_schema() -> (String, PgStore) {
    let name = format!("s_{:x}_{:x}", std::process::id(), fastrand::u64(..));
    let store = PgStore::from_url(&url()).and_then(|store| store.schema(&name)).expect("the name is one");
    (name, store)
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn tables_that_are_missing_or_of_another_version_are_told_before_any_work() {
    let client = client().await;
    let (name, store) = a_schema();
    let queue = PgQueue::new(&store, "q");

    let (missing, text) = kind_of_consuming(&queue).await;
    assert_eq!(missing, ErrorKind::NotFound, "{text}");
    assert!(text.contains("migrate"), "{text}");
    let published = queue.topic().publish("x").await.unwrap_err();
    assert_eq!(published.kind(), ErrorKind::NotFound, "{published:?}");

    let (first, second) = tokio::join!(store.migrate(), store.migrate());
    first.unwrap();
    second.unwrap();
    store.check().await.unwrap();
    client.batch_execute(&format!("INSERT INTO {name}.migration (version) VALUES (99)")).await.unwrap();
    let (newer, text) = kind_of_consuming(&queue).await;
    assert_eq!(newer, ErrorKind::Invalid, "{text}");
    assert!(text.contains("99") && text.contains("update"), "{text}");
    client.batch_execute(&format!("DROP SCHEMA {name} CASCADE")).await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn missing_rights_a_wrong_password_and_no_server_are_told_without_the_secret() {
    let client = client().await;
    store().await;
    let user = format!("u_{:x}", fastrand::u64(..));
    client.batch_execute(&format!("CREATE ROLE {user} LOGIN PASSWORD 'hunter2'; GRANT USAGE ON SCHEMA chappe TO {user}; GRANT SELECT ON chappe.migration TO {user}")).await.unwrap();
    let theirs = url().replace("postgres@", &format!("{user}:hunter2@"));
    let (rights, text) = kind_of_consuming(&PgQueue::new(&PgStore::from_url(&theirs).unwrap(), "q")).await;
    assert_eq!(rights, ErrorKind::PermissionDenied, "{text}");
    assert!(text.contains("GRANT") && !text.contains("hunter2"), "{text}");

    let nobody = url().replace("postgres@", "nobody_at_all:hunter2@");
    let (wrong, text) = kind_of_consuming(&PgQueue::new(&PgStore::from_url(&nobody).unwrap(), "q")).await;
    assert_eq!(wrong, ErrorKind::PermissionDenied, "{text}");
    assert!(!text.contains("hunter2"), "{text}");

    let nowhere = PgStore::from_url("postgres://postgres:hunter2@127.0.0.1:1/postgres").unwrap();
    let (down, text) = kind_of_consuming(&PgQueue::new(&nowhere, "q")).await;
    assert_eq!(down, ErrorKind::Unavailable, "{text}");
    assert!(text.contains("127.0.0.1:1") && !text.contains("hunter2"), "{text}");
    client.batch_execute(&format!("DROP OWNED BY {user}; DROP ROLE {user}")).await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn names_ids_and_keys_that_do_not_fit_are_refused_and_long_ones_that_do_are_woken() {
    let store = store().await;
    for name in ["", "a\nb", &"n".repeat(201)] {
        assert_eq!(kind_of_consuming(&PgQueue::new(&store, name)).await.0, ErrorKind::Invalid, "{name:?}");
        let error = PgQueue::new(&store, name).topic().publish("x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    let mut long = fresh_name();
    long.extend(std::iter::repeat_n('\u{fc}', 60));
    let queue = PgQueue::new(&store, &long).poll(Duration::from_secs(120));
    let mut consumer = consumer(&queue).await;
    let publisher = queue.topic();
    let mut keyed = Message::new("x");
    keyed.set_key(vec![0; 1025]);
    assert_eq!(publisher.publish(keyed).await.unwrap_err().kind(), ErrorKind::TooLarge);
    let mut odd = Message::new("x");
    odd.set_id(String::from("a\0b"));
    assert_eq!(publisher.publish(odd).await.unwrap_err().kind(), ErrorKind::Invalid);

    let publishing = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        publisher.publish("woken").await.unwrap();
        publisher
    });
    let delivery = take(&mut consumer, 1).await.remove(0);

    assert_eq!(delivery.message.body(), "woken");
    drop(publishing.await.unwrap());
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn dead_letters_are_counted_and_put_back_and_a_purge_leaves_them() {
    let queue = queue().await;
    let topic = queue.topic();
    for body in ["a", "b", "c"] {
        topic.publish(body).await.unwrap();
    }
    let mut delayed = Message::new("later");
    delayed.set_delay(Duration::from_secs(600));
    topic.publish(delayed).await.unwrap();
    let mut consumer = consumer(&queue).await;
    let taken = take(&mut consumer, 2).await;
    settle(&queue, &taken[0], Action::DeadLetter { reason: "no".into() }).await;
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.ready, depth.delayed, depth.in_flight, depth.dead), (1, 1, 1, 1));

    let purged = queue.purge().await.unwrap();
    let back = queue.redrive(10).await.unwrap();
    let delivery = take(&mut consumer, 1).await.remove(0);

    assert_eq!((purged, back), (3, 1));
    assert_eq!((delivery.message.body(), delivery.message.attempt()), (taken[0].message.body(), 1));
    assert_eq!(rows(&client().await, &format!("{}-dead", queue.name())).await, 0);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_purge_that_takes_long_does_not_hold_up_settlements() {
    let queue = queue().await;
    for body in ["held", "done"] {
        queue.topic().publish(body).await.unwrap();
    }
    let taken = take(&mut consumer(&queue).await, 2).await;
    let mut other = client().await;
    let transaction = other.transaction().await.unwrap();
    let first = "SELECT id FROM chappe.message WHERE queue = $1 ORDER BY id LIMIT 1 FOR UPDATE";
    transaction.query_one(first, &[&queue.name()]).await.unwrap();

    let purging = tokio::spawn({
        let queue = queue.clone();
        async move { queue.purge().await }
    });
    let blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid IS NOT NULL";
    let watch = client().await;
    timeout(PATIENCE, async {
        while watch.query_one(blocked, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the purge waits for the row that is locked");
    let settling = settle(&queue, &taken[1], Action::Ack);
    let result = timeout(Duration::from_secs(5), settling).await.expect("it does not wait for the purge");
    transaction.rollback().await.unwrap();

    assert!(matches!(result, SettleResult::Done), "{result:?}");
    assert_eq!(purging.await.unwrap().unwrap(), 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_backlog_is_leased_by_two_connections_and_each_message_once() {
    let queue = queue().await;
    let bodies: Vec<_> = (0..2_000).map(|number| number.to_string()).collect();
    let published = queue.topic().publish_all(bodies.clone()).await;
    assert!(published.iter().all(Result::is_ok));
    let mut consumer = consumer(&queue).await;

    let (mut seen, mut fetches) = (Vec::new(), Vec::new());
    while seen.len() < bodies.len() {
        let mut fetched = Vec::new();
        consumer.fetch(300, &mut fetched).await.unwrap();
        let mut batch: Vec<_> =
            fetched.iter().map(|delivery| Settlement::new(delivery.receipt.clone(), Action::Ack)).collect();
        queue.settle(&mut batch).await.unwrap();
        assert!(batch.iter().all(|settlement| matches!(settlement.result, SettleResult::Done)));
        fetches.push(fetched.len());
        seen.extend(fetched.iter().map(|delivery| String::from_utf8(delivery.message.body().to_vec()).unwrap()));
    }

    // The first is by one connection alone, as it does not know yet; then each brings what was asked for.
    assert_eq!(fetches, [300, 300, 300, 300, 300, 300, 200]);
    seen.sort_unstable_by_key(|body| body.parse::<u32>().unwrap());
    assert_eq!(seen, bodies);
    assert_eq!(rows(&client().await, queue.name()).await, 0);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_row_that_cannot_be_read_goes_to_the_dead_letter_and_does_not_hold_up_others() {
    let queue = queue().await;
    let client = client().await;
    let odd = "INSERT INTO chappe.message (queue, attributes, kinds, body) VALUES ($1, '{a,not base64}', 'b', 'x')";
    client.execute(odd, &[&queue.name()]).await.unwrap();
    queue.topic().publish("good").await.unwrap();
    let mut consumer = consumer(&queue).await;

    let delivery = take(&mut consumer, 1).await.remove(0);

    assert_eq!(delivery.message.body(), "good");
    assert_eq!(rows(&client, &format!("{}-dead", queue.name())).await, 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn old_ids_are_forgotten_also_by_a_queue_that_is_never_empty() {
    let queue = queue().await;
    let client = client().await;
    let old = "INSERT INTO chappe.dedup (queue, id, seen)
        SELECT $1, n::text, clock_timestamp() - interval '11 minutes' FROM generate_series(1, 15000) n";
    client.execute(old, &[&queue.name()]).await.unwrap();
    let mut fresh = Message::new("x");
    fresh.set_id("fresh");
    queue.topic().publish(fresh).await.unwrap();
    let mut consumer = consumer(&queue).await;
    let ids = "SELECT count(*) FROM chappe.dedup WHERE queue = $1";

    let forgotten = async {
        while client.query_one(ids, &[&queue.name()]).await.unwrap().get::<_, i64>(0) > 1 {
            let delivery = take(&mut consumer, 1).await.remove(0);
            settle(&queue, &delivery, Action::Release).await;
        }
    };

    tokio::time::timeout(PATIENCE, forgotten).await.expect("they are forgotten");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_long_lane_costs_no_more_than_a_short_one() {
    let queue = queue().await.ordered(true);
    let client = client().await;
    let fill = "INSERT INTO chappe.message (queue, key, body) SELECT $1, 'hot', 'x' FROM generate_series(1, 50000)";
    client.execute(fill, &[&queue.name()]).await.unwrap();
    client
        .execute("INSERT INTO chappe.message (queue, key, body) VALUES ($1, 'zz', 'other')", &[&queue.name()])
        .await
        .unwrap();
    let mut consumer = consumer(&queue).await;

    let mut ids = Vec::new();
    for _ in 0..200 {
        let delivery = take(&mut consumer, 1).await.remove(0);
        if delivery.message.body() == "x" {
            ids.push(delivery.message.id().unwrap().to_string().parse::<u64>().unwrap());
        }
        settle(&queue, &delivery, Action::Ack).await;
    }

    assert!(ids.is_sorted() && ids.len() == 199, "{}", ids.len());
    queue.purge().await.unwrap();
}
