use std::time::Duration;

use chappe_core::backend::{Backend, Publisher, Queue};
use chappe_core::{ErrorKind, Message, MessageId, Topic};
use chappe_memory::MemoryQueue;
use tokio::time::{Instant, advance};

use crate::kit::*;

fn delayed(body: &'static str, seconds: u64) -> Message {
    let mut message = Message::new(body);
    message.set_delay(Duration::from_secs(seconds));
    message
}

fn with_id(id: &'static str) -> Message {
    let mut message = Message::new(id);
    message.set_id(id);
    message
}

#[tokio::test(start_paused = true)]
async fn delayed_messages_are_not_early_and_come_in_the_order_they_are_due() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    let start = Instant::now();
    for message in [delayed("late", 9), delayed("soon", 3), delayed("later", 12), Message::new("now")] {
        queue.topic().publish(message).await.unwrap();
    }

    let mut order = Vec::new();
    for _ in 0..4 {
        let delivery = fetch_one(&mut consumer).await;
        ack(&queue, &delivery).await;
        order.push((delivery.message.into_body(), start.elapsed().as_secs()));
    }

    let expected = [("now", 0), ("soon", 3), ("late", 9), ("later", 12)];
    assert_eq!(order, expected.map(|(body, at)| (body.into(), at)));
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_wakes_a_consumer_that_waits_for_nothing() {
    let queue = MemoryQueue::new("jobs");
    let mut waits = consumer(&queue).await;
    let waiting = tokio::spawn(async move { fetch_one(&mut waits).await });
    tokio::task::yield_now().await;

    queue.topic().publish(delayed("late", 60)).await.unwrap();

    assert_eq!(waiting.await.unwrap().message.body(), "late");
}

#[tokio::test(start_paused = true)]
async fn a_received_message_tells_where_it_is_from_and_no_delay() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;

    let receipt = queue.topic().publish(delayed("a", 1)).await.unwrap();
    let message = fetch_one(&mut consumer).await.message;

    assert_eq!(message.id(), receipt.id.as_ref());
    assert_eq!((message.source(), message.attempt(), message.delay()), (Some("jobs"), 1, None));
    assert!(message.published().is_some());
}

#[tokio::test(start_paused = true)]
async fn empty_bodies_and_repeated_attributes_survive() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    let mut message = Message::new("");
    message.attributes_mut().append("Tag", "a");
    message.attributes_mut().append("tag", vec![0, 255]);
    message.attributes_mut().append("tag", "");

    queue.topic().publish(message.clone()).await.unwrap();
    let received = fetch_one(&mut consumer).await.message;

    assert_eq!(received.attributes(), message.attributes());
    assert!(received.body().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_carried_is_refused_by_kind() {
    let limit = Duration::from_secs(60);
    let queue = MemoryQueue::builder("jobs").max_message_bytes(4).max_delay(limit).build().unwrap();
    let mut control = Message::new("");
    control.attributes_mut().insert("\u{1}", "");
    let mut reserved = Message::new("");
    reserved.attributes_mut().insert("msg-id", "");

    for (message, kind) in [
        (Message::new("12345"), ErrorKind::TooLarge),
        (control, ErrorKind::Invalid),
        (reserved, ErrorKind::Invalid),
        (delayed("", 61), ErrorKind::Invalid),
    ] {
        assert_eq!(queue.topic().publish(message).await.unwrap_err().kind(), kind);
    }

    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_id_seen_lately_is_not_stored_again() {
    let queue = MemoryQueue::builder("jobs").dedup(Duration::from_secs(60), 2).build().unwrap();
    let topic = queue.topic();
    let publish = async |id| topic.publish(with_id(id)).await.unwrap();

    assert!(!publish("a").await.duplicate);
    let again = publish("a").await;
    assert!(again.duplicate);
    assert_eq!(again.id, Some(MessageId::from("a")));
    advance(Duration::from_secs(60)).await;
    assert!(!publish("a").await.duplicate, "the window has passed");
    publish("b").await;
    publish("c").await;
    assert!(!publish("a").await.duplicate, "only so many are remembered");

    assert!(queue.publish_capabilities().dedup);
    assert_eq!(queue.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_message_received_elsewhere_is_published_anew() {
    let (from, to) = (MemoryQueue::new("from"), MemoryQueue::new("to"));
    let mut consumer_of_from = consumer(&from).await;
    let mut consumer_of_to = consumer(&to).await;
    publish(&to, "other").await;
    publish(&from, "relayed").await;

    let received = fetch_one(&mut consumer_of_from).await;
    to.topic().publish(received.message).await.unwrap();

    let relayed = &fetch(&mut consumer_of_to, 2).await[1].message;
    assert_eq!((relayed.attempt(), relayed.source()), (1, Some("to")));
}

#[tokio::test(start_paused = true)]
async fn messages_are_counted() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    publish(&queue, "a").await;
    publish(&queue, "b").await;
    let first = fetch_one(&mut consumer).await;
    settle(&queue, &first, retry(Duration::ZERO)).await;
    fetch(&mut consumer, 5).await;

    let stats = queue.status().stats();

    assert_eq!((stats.sent, stats.received, stats.connected), (2, 3, true));
    assert_eq!((queue.system(), queue.destination()), ("memory", "jobs"));
    assert!(queue.depth().await.is_ok());
}

#[test]
fn senseless_options_are_refused() {
    let zero = Duration::ZERO;
    for (builder, option) in [
        (MemoryQueue::builder("jobs").capacity(0), "capacity"),
        (MemoryQueue::builder("jobs").max_bytes(0), "max_bytes"),
        (MemoryQueue::builder("jobs").max_message_bytes(0), "max_message_bytes"),
        (MemoryQueue::builder("jobs").lease(zero), "lease"),
        (MemoryQueue::builder("jobs").max_delay(zero), "max_delay"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().starts_with(option), "{error}");
    }
}
