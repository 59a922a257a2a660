use std::time::Duration;

use chappe_core::backend::{Action, Order, Queue};
use chappe_core::{Message, Topic};
use chappe_memory::MemoryQueue;

use crate::kit::*;

async fn lanes() -> MemoryQueue {
    let queue = MemoryQueue::new("jobs");
    for message in [keyed("a", "a1"), keyed("a", "a2"), keyed("b", "b1"), keyed("a", "a3"), Message::new("plain")] {
        queue.topic().publish(message).await.unwrap();
    }
    queue
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_key_come_one_at_a_time_and_others_pass() {
    let queue = lanes().await;
    let mut consumer = consumer(&queue).await;

    let first = fetch(&mut consumer, 10).await;
    assert_eq!(bodies(&first), ["a1", "b1", "plain"]);
    ack(&queue, &first[0]).await;
    let second = fetch(&mut consumer, 10).await;
    assert_eq!(bodies(&second), ["a2"]);
    ack(&queue, &second[0]).await;

    assert_eq!(bodies(&fetch(&mut consumer, 10).await), ["a3"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_head_keeps_its_lane_closed_until_it_is_done() {
    let queue = lanes().await;
    let mut consumer = consumer(&queue).await;
    let first = fetch(&mut consumer, 10).await;

    settle(&queue, &first[0], retry(Duration::from_secs(5))).await;
    assert!(fetch_now(&queue, 10).await.is_empty());
    let again = fetch_one(&mut consumer).await;
    assert_eq!((bodies(std::slice::from_ref(&again)), again.message.attempt()), (vec!["a1"], 2));
    settle(&queue, &again, Action::Release).await;
    let again = fetch(&mut consumer, 10).await;
    assert_eq!(bodies(&again), ["a1"]);
    ack(&queue, &again[0]).await;

    assert_eq!(bodies(&fetch(&mut consumer, 10).await), ["a2"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_keeps_the_lane_in_order() {
    let queue = lanes().await;
    let mut consumer = consumer(&queue).await;
    fetch(&mut consumer, 1).await;
    queue.faults().expire_leases();

    let again = fetch(&mut consumer, 1).await;

    assert_eq!((bodies(&again), again[0].message.attempt()), (vec!["a1"], 2));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_opens_its_lane() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    let mut consumer = consumer(&queue).await;
    queue.topic().publish(keyed("a", "a1")).await.unwrap();
    queue.topic().publish(keyed("a", "a2")).await.unwrap();

    let head = fetch_one(&mut consumer).await;
    settle(&queue, &head, Action::DeadLetter { reason: "bad".into() }).await;

    assert_eq!(bodies(&fetch(&mut consumer, 10).await), ["a2"]);
    assert_eq!(dead.messages()[0].key().unwrap().as_str(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_message_held_back_in_a_lane_holds_those_behind_it() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    let mut late = keyed("a", "a1");
    late.set_delay(Duration::from_secs(5));
    queue.topic().publish(late).await.unwrap();
    queue.topic().publish(keyed("a", "a2")).await.unwrap();

    assert!(fetch_now(&queue, 10).await.is_empty());
    let first = fetch_one(&mut consumer).await;
    ack(&queue, &first).await;

    assert_eq!(first.message.body(), "a1");
    assert_eq!(bodies(&fetch(&mut consumer, 10).await), ["a2"]);
}

#[tokio::test(start_paused = true)]
async fn without_order_keys_are_carried_and_mean_nothing() {
    let queue = MemoryQueue::builder("jobs").ordered(false).build().unwrap();
    let mut consumer = consumer(&queue).await;
    queue.topic().publish(keyed("a", "a1")).await.unwrap();
    queue.topic().publish(keyed("a", "a2")).await.unwrap();

    let both = fetch(&mut consumer, 10).await;

    assert_eq!(queue.capabilities().order, Order::None);
    assert_eq!(bodies(&both), ["a1", "a2"]);
    assert_eq!(both[1].message.key().unwrap().as_str(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn order_holds_for_many_keys_under_random_failures() {
    let queue = MemoryQueue::builder("jobs").build().unwrap();
    for at in 0..400_u32 {
        let mut message = Message::new(at.to_be_bytes().to_vec());
        message.set_key((at % 7).to_string());
        queue.topic().publish(message).await.unwrap();
    }
    let mut consumer = consumer(&queue).await;
    let mut seen = vec![Vec::new(); 7];
    let mut dice = 1_u32;

    while !queue.is_empty() {
        for delivery in fetch(&mut consumer, 5).await {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = u32::from_be_bytes(delivery.message.body().as_ref().try_into().unwrap());
            match dice >> 30 {
                0 => _ = settle(&queue, &delivery, retry(Duration::from_millis((dice >> 20 & 63).into()))).await,
                1 => _ = settle(&queue, &delivery, Action::Release).await,
                _ => {
                    ack(&queue, &delivery).await;
                    seen[at as usize % 7].push(at);
                }
            }
        }
    }

    assert_eq!(seen.iter().map(Vec::len).sum::<usize>(), 400);
    assert!(seen.iter().all(|lane| lane.is_sorted()), "{seen:?}");
}
