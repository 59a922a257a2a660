use chappe_core::backend::{Action, DeadLetter, Queue, SettleResult};
use chappe_core::{ErrorKind, Message, Topic};
use chappe_memory::MemoryQueue;

use crate::kit::*;

async fn bury(queue: &MemoryQueue, body: &'static str) {
    publish(queue, body).await;
    let delivery = fetch_one(&mut consumer(queue).await).await;
    settle(queue, &delivery, Action::DeadLetter { reason: "too old".into() }).await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_intact_and_tells_why() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    let mut message = Message::new("body");
    message.attributes_mut().append("tag", "a");
    message.attributes_mut().append("tag", "b");
    queue.topic().publish(message.clone()).await.unwrap();
    let mut source = consumer(&queue).await;
    let first = fetch_one(&mut source).await;
    settle(&queue, &first, retry(std::time::Duration::ZERO)).await;
    let second = fetch_one(&mut source).await;

    settle(&queue, &second, Action::DeadLetter { reason: "too old".into() }).await;
    let buried = fetch_one(&mut consumer(&dead).await).await.message;

    let letter = buried.extensions().get::<DeadLetter>().unwrap();
    assert_eq!((&*letter.reason, &*letter.source, letter.attempts), ("too old", "jobs", 2));
    assert_eq!((buried.body(), buried.attributes()), (message.body(), message.attributes()));
    assert_eq!(buried.id(), first.message.id());
    assert_eq!((buried.attempt(), buried.source()), (1, Some("jobs.dead")));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_wakes_who_waits_for_it() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    let mut undertaker = consumer(&dead).await;
    let waiting = tokio::spawn(async move { fetch_one(&mut undertaker).await });
    tokio::task::yield_now().await;

    bury(&queue, "a").await;

    assert_eq!(waiting.await.unwrap().message.body(), "a");
}

#[tokio::test(start_paused = true)]
async fn without_a_dead_letter_the_message_stays_where_it_is() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    publish(&queue, "a").await;
    let delivery = fetch_one(&mut consumer).await;

    let result = settle(&queue, &delivery, Action::DeadLetter { reason: "bad".into() }).await;

    assert!(matches!(result, SettleResult::Failed(error) if error.kind() == ErrorKind::Unsupported));
    assert!(!queue.capabilities().dead_letter);
    ack(&queue, &delivery).await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_queue_that_is_shut_takes_them_all_the_same() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    dead.shut();

    bury(&queue, "a").await;

    assert_eq!(dead.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_can_be_redriven() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    for body in ["a", "b", "c"] {
        bury(&queue, body).await;
    }

    let moved = dead.redrive_to(&queue, 2).unwrap();

    let again = fetch(&mut consumer(&queue).await, 10).await;
    assert_eq!((moved, dead.len()), (2, 1));
    assert_eq!(bodies(&again), ["a", "b"]);
    assert!(again.iter().all(|delivery| delivery.message.attempt() == 1));
    assert!(again.iter().all(|delivery| delivery.message.extensions().get::<DeadLetter>().is_none()));
    assert_eq!(queue.redrive_to(&queue, 1).unwrap_err().kind(), ErrorKind::Invalid);
    queue.shut();
    assert_eq!(dead.redrive_to(&queue, 1).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(dead.len(), 1);
}
