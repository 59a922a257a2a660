//! A server whose queue of notifications is full, as a session that listens within a transaction makes it.
//!
//! It takes 8 GB of notifications to fill one, so here `pg_notify` is one of the tests' own, which fails as the
//! server's does: when the transaction commits.

use chappe::Topic;
use chappe_core::ErrorKind;
use chappe_core::backend::{Action, Backend, Outgoing, PublishResult, Publisher, SettleResult};
use chappe_postgres::{PgBus, PgQueue, PgStore};

use crate::support::{client, consumer, fresh_name, rows, settle, store, take, url};

/// A schema with a `pg_notify` that finds the queue full, and a URL by which it is found before the server's.
async fn full() -> (String, String) {
    let schema = format!("full_{:x}_{:x}", std::process::id(), fastrand::u64(..));
    let sql = format!(
        "CREATE SCHEMA {schema};
        CREATE TABLE {schema}.notification (channel text);
        CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'too many notifications in the NOTIFY queue' USING ERRCODE = '54000';
        END $$;
        CREATE CONSTRAINT TRIGGER full_queue AFTER INSERT ON {schema}.notification DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION {schema}.refuse();
        CREATE FUNCTION {schema}.pg_notify(channel text, payload text) RETURNS void LANGUAGE sql
            AS 'INSERT INTO {schema}.notification VALUES (channel)'"
    );
    client().await.batch_execute(&sql).await.unwrap();
    let url = format!("{}?options=-csearch_path%3D{schema}%2Cpg_catalog", url());
    (schema, url)
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn publishing_to_a_queue_goes_on_when_nobody_can_be_notified() {
    store().await;
    let (schema, url) = full().await;
    let queue = PgQueue::new(&PgStore::from_url(&url).unwrap(), fresh_name());
    let client = client().await;
    let (topic, mut consumer) = (queue.topic(), consumer(&queue).await);

    for number in 0..5 {
        topic.publish(number.to_string()).await.unwrap();
        let delivery = take(&mut consumer, 1).await.remove(0);
        assert_eq!(delivery.message.body(), &*number.to_string());
        assert!(matches!(settle(&queue, &delivery, Action::Ack).await, SettleResult::Done));
    }
    let healthy = topic.get_ref().status().is_healthy();
    let notified = client.query_one("SELECT pg_notify('x', '')", &[]).await;

    assert!(healthy && rows(&client, queue.name()).await == 0);
    notified.expect("the server itself is well");
    client.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_bus_says_that_the_queue_of_notifications_is_full_and_what_to_look_for() {
    let (schema, url) = full().await;
    let bus = PgBus::new(&PgStore::from_url(&url).unwrap(), fresh_name());

    let mut batch = [Outgoing::new("x".into())];
    bus.publish(&mut batch).await.unwrap();

    let PublishResult::Failed(error) = &batch[0].result else { panic!("{batch:?}") };
    assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Throttled, false), "{error:?}");
    assert!(error.to_string().contains("in a transaction for too long"), "{error}");
    drop(bus);
    client().await.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).await.unwrap();
}
