use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chappe_core::backend::{Action, Consumer, Fetch, Queue, Settlement};
use chappe_core::{Message, Topic};
use chappe_memory::MemoryQueue;
use tokio::time::timeout;

use crate::kit::*;

#[tokio::test(start_paused = true)]
async fn no_more_than_asked_for_is_fetched() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    for body in ["a", "b", "c"] {
        publish(&queue, body).await;
    }

    assert_eq!(bodies(&fetch(&mut consumer, 2).await), ["a", "b"]);
    assert_eq!(fetch(&mut consumer, 0).await.len(), 0);
    assert_eq!(bodies(&fetch(&mut consumer, 2).await), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn every_consumer_that_waits_gets_one_of_a_burst() {
    let queue = MemoryQueue::new("jobs");
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { fetch_one(&mut consumer(&queue).await).await })
        })
        .collect();
    tokio::task::yield_now().await;

    for body in ["a", "b", "c", "d"] {
        publish(&queue, body).await;
    }

    for task in waiting {
        assert_eq!(timeout(Duration::from_secs(1), task).await.unwrap().unwrap().message.attempt(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_dropped_after_it_was_woken_passes_the_message_on() {
    let queue = MemoryQueue::new("jobs");
    let mut gone = consumer(&queue).await;
    let mut out = Vec::new();
    let mut dropped = Box::pin(gone.fetch(1, &mut out));
    assert!(futures_poll(dropped.as_mut()).is_pending());
    let queue_of_next = queue.clone();
    let next = tokio::spawn(async move { fetch_one(&mut consumer(&queue_of_next).await).await });
    tokio::task::yield_now().await;

    publish(&queue, "a").await;
    drop(dropped);

    assert_eq!(timeout(Duration::from_secs(1), next).await.unwrap().unwrap().message.body(), "a");
}

fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn a_publisher_in_a_loop_lets_others_run() {
    let queue = MemoryQueue::new("jobs");
    let ran = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&ran);
    tokio::spawn(async move { seen.fetch_add(1, Ordering::Relaxed) });

    for _ in 0..1000 {
        publish(&queue, "a").await;
    }

    assert_eq!(ran.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn competing_consumers_lose_nothing_and_see_nothing_twice() {
    const MESSAGES: usize = 10_000;
    let queue = MemoryQueue::builder("jobs").capacity(500).build().unwrap();
    let seen: Arc<Vec<AtomicUsize>> = Arc::new((0..MESSAGES).map(|_| AtomicUsize::new(0)).collect());
    let consumers: Vec<_> = (0..4)
        .map(|_| {
            let (queue, seen) = (queue.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                let mut consumer = consumer(&queue).await;
                let mut out = Vec::new();
                loop {
                    if consumer.fetch(17, &mut out).await.unwrap() == Fetch::Stopped {
                        return;
                    }
                    let mut batch: Vec<_> = out
                        .drain(..)
                        .map(|delivery| {
                            let body = delivery.message.body().as_ref().try_into().unwrap();
                            let at = usize::from_be_bytes(body);
                            // Every seventh is given back once, so that redeliveries are in the mix.
                            if at % 7 == 0 && delivery.message.attempt() == 1 {
                                return Settlement::new(delivery.receipt, retry(Duration::ZERO));
                            }
                            seen[at].fetch_add(1, Ordering::Relaxed);
                            Settlement::new(delivery.receipt, Action::Ack)
                        })
                        .collect();
                    queue.settle(&mut batch).await.unwrap();
                    assert!(batch.iter().all(|settlement| is_done(&settlement.result)));
                }
            })
        })
        .collect();
    let publishers: Vec<_> = (0..4)
        .map(|nth| {
            let topic = queue.topic();
            tokio::spawn(async move {
                for at in (nth..MESSAGES).step_by(4) {
                    let mut message = Message::new(at.to_be_bytes().to_vec());
                    if at % 3 == 0 {
                        message.set_key((at % 11).to_string());
                    }
                    topic.publish(message).await.unwrap();
                }
            })
        })
        .collect();

    for publisher in publishers {
        publisher.await.unwrap();
    }
    queue.shut();
    for consumer in consumers {
        timeout(Duration::from_secs(60), consumer).await.expect("a consumer was not woken").unwrap();
    }

    assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1));
    assert!(queue.is_empty());
    assert_eq!(queue.depth().await.unwrap(), Default::default());
}
