//! Messages that are too large for a notification.

use std::time::Duration;

use chappe_core::ErrorKind;
use chappe_core::Message;
use chappe_core::backend::{Backend, Broadcast, PublishResult, SubscribeOptions};
use chappe_postgres::{PgBus, PgStore};

use crate::support::{
    PATIENCE, client, config, fresh_name, is_silent, next, publish, raw_config, relay, relayed, store, subscribe,
    try_publish,
};

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn messages_of_any_size_arrive_in_their_order() {
    let bus = PgBus::new(&store(), fresh_name());
    let mut subscription = subscribe(&bus, bus.destination()).await;
    let mut other = subscribe(&bus.fork(), bus.destination()).await;
    // Around the limit, and far beyond.
    let sizes = [10, 8_000, 5_900, 6_000, 100, 1 << 20, 10, 5_950, 4 << 20, 7_999, 20];

    publish(&bus, sizes.map(|size| vec![0xff_u8; size])).await;

    let expected = sizes.map(|size| format!("{size} bytes"));
    assert_eq!(next(&mut subscription, sizes.len()).await, expected);
    assert_eq!(next(&mut other, sizes.len()).await, expected);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn equal_large_messages_all_arrive() {
    let bus = PgBus::new(&store(), fresh_name());
    let mut subscription = subscribe(&bus, bus.destination()).await;

    publish(&bus, vec!["x".repeat(9_000); 200]).await;

    assert_eq!(next(&mut subscription, 200).await, vec!["9000 bytes"; 200]);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn attributes_and_all_else_survive_the_table() {
    let bus = PgBus::new(&store(), fresh_name());
    let mut subscription = subscribe(&bus, bus.destination()).await;
    let mut message = Message::new("body");
    message.attributes_mut().append("Big", "v".repeat(20_000));
    message.attributes_mut().append("big", vec![0, 255]);
    message.set_key("k");
    message.set_id("i");

    publish(&bus, [message.clone()]).await;

    let chappe_core::backend::Signal::Message(received) = crate::support::signals(&mut subscription, 1).await.remove(0)
    else {
        panic!("no message")
    };
    assert_eq!((received.attributes(), received.body()), (message.attributes(), message.body()));
    assert_eq!((received.key(), received.id()), (message.key(), message.id()));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_large_message_that_was_deleted_is_a_gap_and_messages_go_on() {
    // Listens, and cannot fetch.
    let relay = relay().await;
    let topic = fresh_name();
    let bus = PgBus::new(&PgStore::new(relayed(&relay)), topic.as_str()).direct(config());
    relay.refuse().await;
    let mut subscription = subscribe(&bus, &topic).await;
    let publisher = PgBus::new(&store(), topic.as_str());
    publish(&publisher, ["1".to_owned(), "2".repeat(9_000), "3".to_owned(), "4".repeat(10_000)]).await;
    assert_eq!(next(&mut subscription, 1).await, ["1"]);
    assert!(is_silent(&mut subscription).await, "what is behind a large message waits for it");

    let delete = "DELETE FROM chappe.bus_spill WHERE length(envelope) BETWEEN 9000 AND 9100";
    client(&raw_config()).await.execute(delete, &[]).await.unwrap();
    relay.heal().await;
    publish(&publisher, ["5"]).await;

    assert_eq!(next(&mut subscription, 4).await, ["G", "3", "10000 bytes", "5"]);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn old_large_messages_are_deleted_by_those_who_publish() {
    let bus = PgBus::new(&store(), fresh_name()).spill_retention(Duration::ZERO);
    let rows = client(&raw_config()).await;
    publish(&bus, ["x".repeat(7_777)]).await;

    publish(&bus, ["x".repeat(7_777)]).await;
    let left = async || {
        let count = "SELECT count(*) FROM chappe.bus_spill WHERE length(envelope) BETWEEN 7777 AND 7877";
        rows.query_one(count, &[]).await.unwrap().get::<_, i64>(0)
    };
    let gone = async {
        while left().await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("old large messages are left");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn ones_own_large_messages_are_not_fetched_when_nobody_wants_them() {
    let relay = relay().await;
    let topic = fresh_name();
    let bus = PgBus::new(&PgStore::new(relayed(&relay)), topic.as_str()).direct(config());
    let mut subscription = bus.subscribe(&topic, SubscribeOptions::new().echo(false)).await.unwrap();
    publish(&bus, ["x".repeat(50_000)]).await;
    let before = relay.bytes(chappe_conformance::Direction::ToClient);

    publish(&bus.fork(), ["of another"]).await;

    assert_eq!(next(&mut subscription, 1).await, ["of another"]);
    assert!(relay.bytes(chappe_conformance::Direction::ToClient) - before < 20_000);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn what_is_too_large_for_the_table_is_refused() {
    let bus = PgBus::new(&store(), fresh_name());

    let results = try_publish(&bus, [vec![0; (16 << 20) + 1], vec![0; 1]]).await.unwrap();

    let PublishResult::Failed(error) = &results[0] else { panic!("{results:?}") };
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(matches!(results[1], PublishResult::Accepted(_)));
}
