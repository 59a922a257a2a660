use std::time::Duration;

use chappe_core::backend::{Fetch, Queue, StopSource};
use chappe_core::{ErrorKind, Topic};
use chappe_memory::MemoryQueue;

use crate::kit::*;

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_shut_is_emptied_and_then_at_its_end() {
    let queue = MemoryQueue::new("jobs");
    let mut consumer = consumer(&queue).await;
    publish(&queue, "a").await;
    queue.shut();
    queue.shut();

    assert_eq!(queue.topic().publish("b").await.unwrap_err().kind(), ErrorKind::Closed);
    let delivery = fetch_one(&mut consumer).await;
    settle(&queue, &delivery, retry(Duration::from_secs(5))).await;
    ack(&queue, &fetch_one(&mut consumer).await).await;

    let (fetch, none) = try_fetch(&mut consumer, 1).await.unwrap();
    assert_eq!((fetch, none.len()), (Fetch::Stopped, 0));
}

#[tokio::test(start_paused = true)]
async fn consumers_that_wait_learn_when_a_shut_queue_runs_empty() {
    let queue = MemoryQueue::new("jobs");
    let mut works = consumer(&queue).await;
    publish(&queue, "a").await;
    let delivery = fetch_one(&mut works).await;
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { try_fetch(&mut consumer(&queue).await, 1).await.unwrap().0 })
        })
        .collect();
    tokio::task::yield_now().await;

    queue.shut();
    tokio::task::yield_now().await;
    assert!(waiting.iter().all(|task| !task.is_finished()), "a message in flight may come back");
    ack(&queue, &delivery).await;

    for task in waiting {
        assert_eq!(task.await.unwrap(), Fetch::Stopped);
    }
}

#[tokio::test(start_paused = true)]
async fn publishers_that_wait_learn_that_the_queue_is_shut() {
    let queue = MemoryQueue::builder("jobs").capacity(1).build().unwrap();
    publish(&queue, "a").await;
    let topic = queue.topic();
    let waiting = tokio::spawn(async move { topic.publish("b").await.unwrap_err().kind() });
    tokio::task::yield_now().await;

    queue.shut();

    assert_eq!(waiting.await.unwrap(), ErrorKind::Closed);
    assert_eq!(queue.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_fetch_that_waits_and_leases_nothing() {
    let queue = MemoryQueue::new("jobs");
    let stop = StopSource::new();
    let mut waits = consumer_with(&queue, stop.token()).await;
    let waiting = tokio::spawn(async move { (try_fetch(&mut waits, 1).await.unwrap(), waits) });
    tokio::task::yield_now().await;

    stop.stop();
    let ((fetch, out), mut stopped) = waiting.await.unwrap();
    publish(&queue, "a").await;
    let (again, none) = try_fetch(&mut stopped, 1).await.unwrap();

    assert_eq!((fetch, out.len(), again, none.len()), (Fetch::Stopped, 0, Fetch::Stopped, 0));
    assert_eq!(fetch_one(&mut consumer(&queue).await).await.message.attempt(), 1);
}

#[tokio::test(start_paused = true)]
async fn closing_a_handle_leaves_the_queue_to_others() {
    let queue = MemoryQueue::new("jobs");
    queue.clone().close().await.unwrap();
    queue.close().await.unwrap();

    publish(&queue, "a").await;

    assert_eq!(fetch_now(&queue, 1).await.len(), 1);
}
