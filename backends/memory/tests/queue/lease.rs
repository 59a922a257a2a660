use std::time::Duration;

use chappe_core::backend::Action;
use chappe_memory::MemoryQueue;
use tokio::time::{Instant, advance, sleep, timeout};

use crate::kit::*;

const LEASE: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn a_lease_that_ends_redelivers_once_with_attempt_2() {
    let queue = MemoryQueue::new("jobs");
    let mut first = consumer(&queue).await;
    let mut second = consumer(&queue).await;
    publish(&queue, "a").await;
    let start = Instant::now();

    let held = fetch_one(&mut first).await;
    let again = fetch_one(&mut second).await;

    assert_eq!((held.message.attempt(), again.message.attempt()), (1, 2));
    assert_eq!(held.lease_until, Some(start + LEASE));
    assert!(start.elapsed() >= LEASE && start.elapsed() < LEASE + Duration::from_millis(5));
    assert!(fetch_now(&queue, 10).await.is_empty());
    assert_eq!(again.message.body(), held.message.body());
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_waits_learns_of_a_lease_given_to_another_later() {
    let queue = MemoryQueue::new("jobs");
    let mut waiting: Vec<_> = (0..2)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { fetch_one(&mut consumer(&queue).await).await })
        })
        .collect();
    tokio::task::yield_now().await;

    publish(&queue, "a").await;
    let taken = waiting.remove(0).await.unwrap();
    let again = timeout(2 * LEASE, waiting.remove(0)).await.expect("it was not woken").unwrap();

    assert_eq!((taken.message.attempt(), again.message.attempt()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_stale_receipt_is_lost_and_leaves_the_newer_delivery_alone() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    publish(&queue, "a").await;
    let stale = fetch_one(&mut consumer).await;
    let newer = fetch_one(&mut consumer).await;

    for action in [Action::Ack, Action::Release, retry(Duration::ZERO), Action::Extend { by: LEASE }] {
        assert!(is_lost(&settle(&queue, &stale, action).await));
    }

    ack(&queue, &newer).await;
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_settlement_after_the_lease_is_lost_even_before_the_redelivery() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    publish(&queue, "a").await;
    let late = fetch_one(&mut consumer).await;

    advance(LEASE).await;

    assert!(is_lost(&settle(&queue, &late, Action::Ack).await));
    assert_eq!(fetch_one(&mut consumer).await.message.attempt(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_of_a_settled_message_is_lost_even_when_its_slot_is_used_again() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    publish(&queue, "a").await;
    let settled = fetch_one(&mut consumer).await;
    ack(&queue, &settled).await;
    publish(&queue, "b").await;
    let other = fetch_one(&mut consumer).await;

    assert!(is_lost(&settle(&queue, &settled, Action::Ack).await));

    ack(&queue, &other).await;
}

#[tokio::test(start_paused = true)]
async fn an_extended_lease_lasts_seven_times_as_long() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    publish(&queue, "a").await;
    let held = fetch_one(&mut consumer).await;

    for _ in 0..14 {
        sleep(LEASE / 2).await;
        assert!(is_done(&settle(&queue, &held, Action::Extend { by: LEASE }).await));
        assert!(fetch_now(&queue, 1).await.is_empty());
    }

    ack(&queue, &held).await;
}

#[tokio::test(start_paused = true)]
async fn an_extension_may_shorten_the_lease() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    publish(&queue, "a").await;
    let held = fetch_one(&mut consumer).await;
    let start = Instant::now();

    settle(&queue, &held, Action::Extend { by: Duration::from_secs(1) }).await;
    let again = fetch_one(&mut consumer).await;

    assert_eq!((again.message.attempt(), start.elapsed().as_secs()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn forgetting_tells_nobody_and_the_lease_runs_out() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    publish(&queue, "a").await;
    let held = fetch_one(&mut consumer).await;

    assert!(is_done(&settle(&queue, &held, Action::Forget).await));

    assert_eq!(fetch_one(&mut consumer).await.message.attempt(), 2);
}
