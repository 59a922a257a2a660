use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chappe_core::backend::{Action, Backend, Queue, SettleResult, Settlement};
use chappe_core::{ErrorKind, Topic};
use chappe_memory::{Chance, MemoryQueue};

use crate::kit::*;

async fn with_two() -> (MemoryQueue, Vec<Got>) {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, "a").await;
    publish(&queue, "b").await;
    let fetched = fetch(&mut consumer(&queue).await, 2).await;
    (queue, fetched)
}

fn acks(fetched: &[Got]) -> Vec<Settlement<chappe_memory::MemoryReceipt>> {
    fetched.iter().map(|delivery| Settlement::new(delivery.receipt, Action::Ack)).collect()
}

#[tokio::test(start_paused = true)]
async fn fetches_fail_as_often_as_they_are_told_to() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, "a").await;
    let mut consumer = consumer(&queue).await;
    queue.faults().fail_next_fetches(2, ErrorKind::Throttled);

    for _ in 0..2 {
        assert_eq!(try_fetch(&mut consumer, 1).await.unwrap_err().kind(), ErrorKind::Throttled);
    }

    assert_eq!(fetch_one(&mut consumer).await.message.attempt(), 1);
    assert_eq!(queue.faults().injected(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_waits_fails_too() {
    let queue = MemoryQueue::new("jobs");
    let mut waits = consumer(&queue).await;
    let waiting = tokio::spawn(async move { try_fetch(&mut waits, 1).await.unwrap_err().kind() });
    tokio::task::yield_now().await;

    queue.faults().fail_next_fetches(1, ErrorKind::Unavailable);

    assert_eq!(waiting.await.unwrap(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_settle_call_that_fails_leaves_everything_pending_and_undone() {
    let (queue, fetched) = with_two().await;
    let mut batch = acks(&fetched);
    queue.faults().fail_next_settles(7, ErrorKind::Unavailable);

    for _ in 0..7 {
        assert!(queue.settle(&mut batch).await.is_err());
        assert!(batch.iter().all(|settlement| settlement.result.is_pending()));
        assert_eq!(queue.len(), 2);
    }
    queue.settle(&mut batch).await.unwrap();

    assert!(batch.iter().all(|settlement| is_done(&settlement.result)));
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_settlement_fails_and_its_neighbour_does_not() {
    let (queue, fetched) = with_two().await;
    let mut batch = acks(&fetched);
    queue.faults().fail_settle_entries(1);

    queue.settle(&mut batch).await.unwrap();

    assert!(matches!(&batch[0].result, SettleResult::Failed(error) if error.is_retryable() && !error.is_ambiguous()));
    assert!(is_done(&batch[1].result));
    assert_eq!(queue.len(), 1);
    ack(&queue, &fetched[0]).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_ack_was_applied() {
    let (queue, fetched) = with_two().await;
    let mut batch = acks(&fetched);
    queue.faults().lose_next_acks(1);

    queue.settle(&mut batch).await.unwrap();

    assert!(matches!(&batch[0].result, SettleResult::Failed(error) if error.is_ambiguous()));
    assert!(queue.is_empty());
    assert!(is_lost(&settle(&queue, &fetched[0], Action::Ack).await));
}

#[tokio::test(start_paused = true)]
async fn a_settle_call_with_a_lost_reply_was_applied() {
    let (queue, fetched) = with_two().await;
    let mut batch = acks(&fetched);
    queue.faults().lose_next_settles(1);

    let error = queue.settle(&mut batch).await.unwrap_err();

    assert!(error.is_ambiguous() && queue.is_empty());
    assert!(batch.iter().all(|settlement| settlement.result.is_pending()));
    queue.settle(&mut batch).await.unwrap();
    assert!(batch.iter().all(|settlement| is_lost(&settlement.result)));
}

#[tokio::test(start_paused = true)]
async fn publishing_fails_or_its_receipt_is_lost() {
    let queue = MemoryQueue::new("jobs");
    queue.faults().fail_next_publishes(1, ErrorKind::Throttled);
    let failed = queue.topic().publish("a").await.unwrap_err();
    assert_eq!((failed.kind(), failed.is_ambiguous(), queue.len()), (ErrorKind::Throttled, false, 0));

    queue.faults().lose_next_receipts(1);
    let lost = queue.topic().publish("b").await.unwrap_err();

    assert_eq!((lost.kind(), lost.is_ambiguous(), queue.len()), (ErrorKind::Unavailable, true, 1));
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_makes_the_first_receipt_stale() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, "a").await;
    queue.faults().duplicate_next(1);
    let mut consumer = consumer(&queue).await;

    let twice = fetch(&mut consumer, 5).await;

    assert_eq!(twice.iter().map(|delivery| delivery.message.attempt()).collect::<Vec<_>>(), [1, 2]);
    assert!(is_lost(&settle(&queue, &twice[0], Action::Ack).await));
    ack(&queue, &twice[1]).await;
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn leases_can_be_ended_at_will() {
    let (queue, fetched) = with_two().await;
    let mut waits = consumer(&queue).await;
    let waiting = tokio::spawn(async move { fetch(&mut waits, 5).await });
    tokio::task::yield_now().await;

    queue.faults().expire_leases();

    assert_eq!(waiting.await.unwrap().iter().map(|delivery| delivery.message.attempt()).collect::<Vec<_>>(), [2, 2]);
    assert!(is_lost(&settle(&queue, &fetched[0], Action::Ack).await));
}

#[tokio::test(start_paused = true)]
async fn a_cut_connection_fails_everything_until_it_is_restored() {
    let queue = MemoryQueue::builder("jobs").capacity(1).build().unwrap();
    let epochs = Arc::new(AtomicU64::new(0));
    let (one, other) = (Arc::clone(&epochs), Arc::clone(&epochs));
    let _one = queue.status().on_reconnect(move |epoch| _ = one.fetch_add(epoch, Ordering::Relaxed));
    let _other = queue.status().on_reconnect(move |epoch| _ = other.fetch_add(epoch, Ordering::Relaxed));
    publish(&queue, "a").await;
    let held = fetch_one(&mut consumer(&queue).await).await;
    let topic = queue.topic();
    let blocked = tokio::spawn(async move { topic.publish("b").await.unwrap_err().kind() });
    let mut waits = consumer(&queue).await;
    let waiting = tokio::spawn(async move { try_fetch(&mut waits, 1).await.unwrap_err().kind() });
    tokio::task::yield_now().await;

    queue.faults().disconnect();

    assert_eq!((blocked.await.unwrap(), waiting.await.unwrap()), (ErrorKind::Unavailable, ErrorKind::Unavailable));
    assert!(!queue.status().is_healthy());
    assert!(queue.settle(&mut acks(std::slice::from_ref(&held))).await.is_err());
    assert!(queue.depth().await.is_err());
    queue.faults().reconnect();
    assert_eq!((epochs.load(Ordering::Relaxed), queue.status().health().epoch), (4, 2));
    ack(&queue, &held).await;
    publish(&queue, "c").await;
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_faults() {
    let run = async |seed| {
        let queue = MemoryQueue::new("jobs");
        queue.faults().random(Chance::seeded(seed).publish(0.3));
        let mut results = Vec::new();
        for _ in 0..64 {
            results.push(queue.topic().publish("a").await.is_ok());
        }
        results
    };

    let (first, again, other) = (run(7).await, run(7).await, run(8).await);

    assert_eq!(first, again);
    assert_ne!(first, other);
    let failed = first.iter().filter(|ok| !**ok).count();
    assert!((8..32).contains(&failed), "{failed} of 64");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_under_faults_by_chance() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    let chance = Chance::seeded(42).fetch(0.2).settle(0.2).lost_settle(0.1).settle_entry(0.1);
    queue.faults().random(chance.publish(0.2).lost_receipt(0.1).duplicate(0.1));
    let (mut accepted, mut acked, mut buried) = (0, 0, 0);
    for _ in 0..500 {
        match queue.topic().publish("a").await {
            Ok(_) => accepted += 1,
            Err(error) if error.is_ambiguous() => accepted += 1,
            Err(_) => {}
        }
    }
    let mut consumer = consumer(&queue).await;

    for _ in 0..200 {
        let Ok((_, fetched)) = try_fetch(&mut consumer, 9).await else { continue };
        let mut batch: Vec<_> = fetched
            .iter()
            .enumerate()
            .map(|(at, delivery)| {
                let action = if at % 5 == 0 { Action::DeadLetter { reason: "bad".into() } } else { Action::Ack };
                Settlement::new(delivery.receipt, action)
            })
            .collect();
        let before = queue.len();
        while queue.settle(&mut batch).await.is_err() {}
        let gone = before - queue.len();
        let dead_now = dead.len() - buried;
        buried += dead_now;
        acked += gone - dead_now;
        if queue.is_empty() {
            break;
        }
    }

    assert_eq!(accepted, acked + buried + queue.len());
    assert_eq!(queue.messages().len(), queue.len());
    assert!(queue.faults().injected() > 50);
    queue.faults().clear();
    tokio::time::advance(Duration::from_secs(31)).await;
    let left = fetch_now(&queue, 1000).await;
    assert_eq!(left.len(), queue.len());
}
