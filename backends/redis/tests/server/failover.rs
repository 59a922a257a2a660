//! A replica that takes the place of its server.

use std::time::Duration;

use chappe::Message;
use chappe_conformance::{Direction, Relay};
use chappe_core::Topic;
use chappe_core::backend::{Action, Backend, Consumer, Delivery, Depth, Queue, SettleResult, Settlement};
use chappe_redis::{RedisConsumer, RedisQueue, RedisReceipt};
use tokio::time::timeout;

use crate::rows::{ack, body, consumer, publish_numbers, settle, take};
use crate::support::{Name, Own, PATIENCE, client_of, fresh_name, replicated};

/// As the documentation has it: what the replica did not have is gone, whoever was told that it was published, and
/// what was delivered meanwhile is delivered again. Nothing else comes of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn what_a_replica_did_not_have_is_lost_with_its_server_and_all_else_goes_on() {
    let (primary, replica) = tokio::join!(Own::start(false), Own::start(false));
    let replication = Relay::to(primary.address()).await.unwrap();
    replica.follow(Some(replication.addr())).await;
    let name = Name::of(primary.address()).await;
    let queue = RedisQueue::new(&client_of(name.address()), fresh_name()).wait(Duration::from_millis(200));
    let mut consumer = consumer(&queue).await;
    let confirmed = queue.publisher().wait_replicas(1, PATIENCE).topic();
    for number in 0..20 {
        confirmed.publish(number.to_string()).await.expect("the replica has it");
    }
    let mut health = queue.status().watch();

    replication.blackhole(Direction::Both);
    let held = take(&mut consumer, 5).await;
    queue.topic().publish("lost").await.expect("the server has it");
    primary.kill();
    replica.follow(None).await;
    name.give_to(replica.address());
    let all = take_through_errors(&mut consumer, 20).await;
    // The connection for all else may not know yet.
    while queue.depth().await.is_err() {}
    queue.topic().publish("after").await.unwrap();
    let after = take(&mut consumer, 1).await.remove(0);

    timeout(PATIENCE, health.wait_for(|health| health.healthy && health.epoch > 1)).await.unwrap().unwrap();
    let mut numbers: Vec<usize> = all.iter().map(|delivery| body(&delivery.message).parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    assert_eq!(body(&after.message), "after", "the other was lost");
    for delivery in all.iter().chain([&after]) {
        ack(&queue, delivery).await;
    }
    // Those who had them first are told what they can be told: it is no longer theirs.
    assert!(matches!(settle(&queue, held[0].receipt, Action::Ack).await, SettleResult::Lost));
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
}

/// A server that is made a replica keeps its connections: who stays would never publish or fetch again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn a_server_that_was_made_a_replica_is_left_for_the_one_that_has_its_name() {
    let (first, second) = tokio::join!(Own::start(false), Own::start(false));
    second.follow(Some(first.address())).await;
    let name = Name::of(first.address()).await;
    let queue = RedisQueue::new(&client_of(name.address()), fresh_name()).wait(PATIENCE * 10);
    let (topic, with_id) = (queue.topic(), queue.publisher().topic());
    let mut consumer = consumer(&queue).await;
    publish_numbers(&queue, 2).await;
    let held = take(&mut consumer, 2).await;
    for topic in [&topic, &with_id] {
        topic.publish("early").await.unwrap();
    }
    let early = take(&mut consumer, 2).await;
    // One is waiting when it happens.
    let waiting = tokio::spawn(async move { take_through_errors(&mut consumer, 2).await });
    tokio::time::sleep(Duration::from_millis(300)).await;

    replicated(first.address()).await;
    second.follow(None).await;
    first.follow(Some(second.address())).await;
    name.give_to(second.address());
    // By a script, and by itself.
    let mut message = Message::new("late");
    message.set_id("late");
    timeout(PATIENCE, with_id.publish(message)).await.expect("it is published").unwrap();
    timeout(PATIENCE, topic.publish("late")).await.expect("it is published").unwrap();
    let late = waiting.await.unwrap();
    let buried = timeout(PATIENCE, settle_until_known(&queue, held[0].receipt)).await.expect("it is settled");

    assert!(late.iter().all(|delivery| body(&delivery.message) == "late"), "something came again: {late:?}");
    assert!(matches!(buried, SettleResult::Done), "{buried:?}");
    for delivery in early.iter().chain(&late).chain(&held[1..]) {
        ack(&queue, delivery).await;
    }
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.ready, depth.in_flight, depth.dead), (0, 0, 1));
}

/// The next so many deliveries, however often the server cannot be reached.
async fn take_through_errors(consumer: &mut RedisConsumer, count: usize) -> Vec<Delivery<RedisReceipt>> {
    let mut all = Vec::new();
    let fetched = async {
        while all.len() < count {
            if let Err(error) = consumer.fetch(count - all.len(), &mut all).await {
                assert!(error.is_retryable(), "{error:?}");
            }
        }
    };
    timeout(PATIENCE, fetched).await.expect("consuming goes on");
    all
}

/// What rejecting a message comes to, however often the server cannot be reached or refuses.
async fn settle_until_known(queue: &RedisQueue, receipt: RedisReceipt) -> SettleResult {
    loop {
        let mut batch = [Settlement::new(receipt, Action::DeadLetter { reason: "enough".into() })];
        let settled = queue.settle(&mut batch).await;
        let [entry] = batch;
        match (settled, entry.result) {
            (Err(error), _) | (Ok(()), SettleResult::Failed(error)) => assert!(error.is_retryable(), "{error:?}"),
            (Ok(()), known) => return known,
        }
    }
}
