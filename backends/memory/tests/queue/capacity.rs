use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use chappe_core::backend::{Action, Outgoing, PublishResult, Publisher};
use chappe_core::{ErrorKind, Message, Topic};
use chappe_memory::MemoryQueue;
use tokio::time::timeout;
use tower_service::Service;

use crate::kit::*;

const SOON: Duration = Duration::from_secs(1);

fn one_place() -> MemoryQueue {
    MemoryQueue::builder("jobs").capacity(1).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_has_publishers_wait_while_a_redelivery_goes_through() {
    let queue = one_place();
    let mut consumer = consumer(&queue).await;
    publish(&queue, "first").await;
    let topic = queue.topic();
    let waiting = tokio::spawn(async move { topic.publish("second").await });

    let failed = fetch_one(&mut consumer).await;
    settle(&queue, &failed, retry(Duration::ZERO)).await;
    let again = fetch_one(&mut consumer).await;

    assert_eq!((again.message.body().as_ref(), again.message.attempt()), (&b"first"[..], 2));
    assert!(!waiting.is_finished());
    ack(&queue, &again).await;
    waiting.await.unwrap().unwrap();
    assert_eq!(bodies(&fetch(&mut consumer, 10).await), ["second"]);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_dropped_while_it_waits_leaks_no_room() {
    let queue = one_place();
    let mut consumer = consumer(&queue).await;
    publish(&queue, "first").await;
    for _ in 0..100 {
        assert!(timeout(SOON, queue.topic().publish("never")).await.is_err());
    }

    ack(&queue, &fetch_one(&mut consumer).await).await;
    timeout(SOON, queue.topic().publish("second")).await.unwrap().unwrap();

    assert_eq!(queue.len(), 1);
    assert_eq!(bodies(&fetch(&mut consumer, 10).await), ["second"]);
}

#[tokio::test]
async fn room_granted_to_a_publisher_that_is_dropped_goes_to_the_next() {
    let queue = one_place();
    let mut consumer = consumer(&queue).await;
    publish(&queue, "first").await;
    let mut cx = Context::from_waker(Waker::noop());
    let mut gone = Box::pin(queue.topic().call(Message::new("gone")));
    let mut next = Box::pin(queue.topic().call(Message::new("next")));
    assert!(gone.as_mut().poll(&mut cx).is_pending() && next.as_mut().poll(&mut cx).is_pending());

    ack(&queue, &fetch_one(&mut consumer).await).await;
    assert!(next.as_mut().poll(&mut cx).is_pending(), "the line is fair");
    drop(gone);

    assert!(matches!(next.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
    assert_eq!(bodies(&fetch(&mut consumer, 10).await), ["next"]);
}

#[tokio::test]
async fn a_full_topic_is_not_ready_and_is_woken_when_it_is() {
    let queue = one_place();
    let mut consumer = consumer(&queue).await;
    publish(&queue, "first").await;
    let mut topic = queue.topic();
    let mut cx = Context::from_waker(Waker::noop());

    assert!(topic.poll_ready(&mut cx).is_pending());
    ack(&queue, &fetch_one(&mut consumer).await).await;

    assert!(topic.poll_ready(&mut cx).is_ready());
}

#[tokio::test]
async fn a_topic_that_is_ready_and_never_called_keeps_no_room_from_others() {
    let queue = one_place();
    let mut cx = Context::from_waker(Waker::noop());
    let mut idle = queue.topic();

    assert!(idle.poll_ready(&mut cx).is_ready());

    assert!(pin!(queue.topic().publish("first")).poll(&mut cx).is_ready());
}

#[tokio::test(start_paused = true)]
async fn publishers_are_served_in_the_order_they_came() {
    let queue = one_place();
    let mut consumer = consumer(&queue).await;
    publish(&queue, "0").await;
    let mut waiting = Vec::new();
    for body in ["1", "2", "3"] {
        let mut call = Box::pin(queue.topic().call(Message::new(body)));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        waiting.push(tokio::spawn(call));
    }

    let mut order = Vec::new();
    for _ in 0..4 {
        let delivery = fetch_one(&mut consumer).await;
        ack(&queue, &delivery).await;
        order.push(delivery.message.into_body());
    }

    assert_eq!(order, ["0", "1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_limited_too() {
    let queue = MemoryQueue::builder("jobs").max_bytes(10).build().unwrap();
    let mut consumer = consumer(&queue).await;
    publish(&queue, "123456").await;

    let refused = queue.topic().publish("12345678901").await.unwrap_err();
    assert!(timeout(SOON, queue.topic().publish("789012")).await.is_err());
    timeout(SOON, queue.topic().publish("7890")).await.unwrap().unwrap();
    ack(&queue, &fetch_one(&mut consumer).await).await;
    timeout(SOON, queue.topic().publish("789012")).await.unwrap().unwrap();

    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    assert_eq!(bodies(&fetch(&mut consumer, 10).await), ["7890", "789012"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_room_and_keeps_what_it_could_not_publish() {
    let queue = MemoryQueue::builder("jobs").capacity(2).build().unwrap();
    let mut batch: Vec<Outgoing> = ["a", "b", "c"].into_iter().map(|body| Outgoing::new(Message::new(body))).collect();

    assert!(timeout(SOON, Publisher::publish(&queue, &mut batch)).await.is_err());

    let accepted = batch.iter().filter(|entry| matches!(entry.result, PublishResult::Accepted(_))).count();
    assert_eq!((accepted, queue.len()), (2, 2));
    assert!(batch[2].result.is_pending());
    assert_eq!(batch[2].message.body(), "c");
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_gives_its_room_back_and_needs_none() {
    let dead = MemoryQueue::builder("dead").capacity(1).build().unwrap();
    let queue = MemoryQueue::builder("jobs").capacity(1).dead_letter(&dead).build().unwrap();
    let mut consumer = consumer(&queue).await;

    for body in ["a", "b", "c"] {
        timeout(SOON, queue.topic().publish(body)).await.unwrap().unwrap();
        let delivery = fetch_one(&mut consumer).await;
        assert!(is_done(&settle(&queue, &delivery, Action::DeadLetter { reason: "bad".into() }).await));
    }

    assert_eq!((queue.len(), dead.len()), (0, 3));
}
