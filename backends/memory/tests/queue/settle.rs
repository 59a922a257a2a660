use std::time::Duration;

use chappe_core::backend::{Action, Queue, SettleResult, Settlement};
use chappe_core::{ErrorKind, Message, MessageId, Topic};
use chappe_memory::MemoryQueue;
use tokio::time::Instant;

use crate::kit::*;

#[tokio::test(start_paused = true)]
async fn a_released_message_keeps_its_place_and_its_attempt() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    for body in ["a", "b", "c", "d"] {
        publish(&queue, body).await;
    }
    let fetched = fetch(&mut consumer, 3).await;

    settle(&queue, &fetched[2], Action::Release).await;
    settle(&queue, &fetched[0], Action::Release).await;
    settle(&queue, &fetched[1], Action::Release).await;

    let again = fetch(&mut consumer, 10).await;
    assert_eq!(bodies(&again), ["a", "b", "c", "d"]);
    assert!(again.iter().all(|delivery| delivery.message.attempt() == 1));
}

#[tokio::test(start_paused = true)]
async fn a_retry_comes_exactly_after_its_delay_with_the_attempt_counted() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    publish(&queue, "a").await;
    let delivery = fetch_one(&mut consumer).await;
    let start = Instant::now();

    settle(&queue, &delivery, retry(Duration::from_secs(7))).await;
    assert!(fetch_now(&queue, 1).await.is_empty());
    let again = fetch_one(&mut consumer).await;

    assert_eq!((again.message.attempt(), start.elapsed().as_secs()), (2, 7));
    assert_eq!((again.message.id(), again.message.body()), (delivery.message.id(), delivery.message.body()));
}

#[tokio::test(start_paused = true)]
async fn a_retry_without_delay_goes_behind_what_is_ready() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    publish(&queue, "a").await;
    publish(&queue, "b").await;
    let first = fetch_one(&mut consumer).await;

    settle(&queue, &first, retry(Duration::ZERO)).await;

    assert_eq!(bodies(&fetch(&mut consumer, 10).await), ["b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_over_the_maximum_is_the_maximum() {
    let queue = MemoryQueue::builder("jobs").max_delay(Duration::from_secs(5)).build().unwrap();
    let mut consumer = consumer(&queue).await;
    publish(&queue, "a").await;
    let delivery = fetch_one(&mut consumer).await;
    let start = Instant::now();

    settle(&queue, &delivery, retry(Duration::from_secs(500))).await;
    fetch_one(&mut consumer).await;

    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_sees_the_same_body_whatever_the_one_before_did() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    let mut message = Message::new("body");
    message.attributes_mut().append("tag", "a");
    queue.topic().publish(message.clone()).await.unwrap();

    for attempt in 1..=5 {
        let mut delivery = fetch_one(&mut consumer).await;
        assert_eq!(delivery.message.body(), "body");
        assert_eq!(delivery.message.attributes(), message.attributes());
        assert_eq!(delivery.message.attempt(), attempt);
        delivery.message.set_body("changed");
        delivery.message.attributes_mut().clear();
        settle(&queue, &delivery, retry(Duration::ZERO)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_a_result_for_each() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    let mut consumer = consumer(&queue).await;
    for body in ["a", "b", "c", "d"] {
        publish(&queue, body).await;
    }
    let fetched = fetch(&mut consumer, 4).await;
    let mut batch = vec![
        Settlement::new(fetched[0].receipt, Action::Ack),
        Settlement::new(fetched[0].receipt, Action::Ack),
        Settlement::new(fetched[1].receipt, Action::DeadLetter { reason: "bad".into() }),
        Settlement::new(fetched[2].receipt, Action::Release),
        Settlement::new(fetched[3].receipt, Action::Extend { by: Duration::MAX }),
    ];

    queue.settle(&mut batch).await.unwrap();

    assert!(is_done(&batch[0].result) && is_lost(&batch[1].result));
    assert!(is_done(&batch[2].result) && is_done(&batch[3].result));
    assert!(matches!(&batch[4].result, SettleResult::Failed(error) if error.kind() == ErrorKind::Invalid));
    assert_eq!((queue.len(), dead.len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_known_is_not_worked_out_again() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    publish(&queue, "a").await;
    let mut batch = [Settlement::new(fetch_one(&mut consumer).await.receipt, Action::Ack)];

    queue.settle(&mut batch).await.unwrap();
    queue.settle(&mut batch).await.unwrap();

    assert!(is_done(&batch[0].result));
}

#[tokio::test(start_paused = true)]
async fn the_depth_tells_where_messages_are() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    let mut consumer = consumer(&queue).await;
    for body in ["a", "b", "c"] {
        publish(&queue, body).await;
    }
    let mut late = Message::new("d");
    late.set_delay(Duration::from_secs(9));
    queue.topic().publish(late).await.unwrap();
    let fetched = fetch(&mut consumer, 2).await;
    settle(&queue, &fetched[0], Action::DeadLetter { reason: "bad".into() }).await;

    let depth = queue.depth().await.unwrap();

    assert_eq!((depth.ready, depth.delayed, depth.in_flight, depth.dead), (1, 1, 1, 1));
    assert_eq!((queue.len(), dead.len()), (3, 1));
    assert_eq!(queue.messages()[1].id(), Some(&MessageId::from_u64(3)));
    assert_eq!(queue.messages().iter().map(|message| message.body().as_ref()).collect::<Vec<_>>(), [b"b", b"c", b"d"]);
}
