//! Receivers of batches: a result for each message, in their order.

use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::server::BatchOptions;
use chappe::{BoxError, Message, Outcome, OutcomeError};
use chappe_memory::MemoryQueue;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use crate::support::*;

type Sizes = Arc<Mutex<Vec<usize>>>;

#[tokio::test(start_paused = true)]
async fn each_message_is_settled_by_its_own_result() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    publish(&queue, ["ok", "retry", "reject", "fail", "fine"]).await;
    let seen = Seen::default();

    let log = seen.clone();
    let mixed = service_fn(move |batch: Vec<Message>| {
        batch.iter().for_each(|message| log.note(message));
        let results = batch.iter().map(|message| match (&*text(message), log.count_of(message)) {
            ("retry", 1) => Ok(Outcome::Retry),
            ("reject", _) => Ok(Outcome::reject("bad")),
            ("fail", 1) => Err("failed"),
            _ => Ok(Outcome::Ack),
        });
        ready(Ok::<_, BoxError>(results.collect::<Vec<_>>()))
    });
    let report = server(queue.clone())
        .serve_batch(mixed, BatchOptions::new(10))
        .with_graceful_shutdown(sleep(MINUTE))
        .await
        .unwrap();

    let metrics = report.metrics;
    assert_eq!((metrics.acked, metrics.retried, metrics.dead_lettered, metrics.errors), (4, 2, 1, 1));
    assert_eq!((metrics.processed, metrics.fetched), (7, 7));
    assert_eq!(seen.bodies(), ["ok", "retry", "reject", "fail", "fine", "retry", "fail"]);
    assert_eq!((bodies(&dead), queue.len()), (vec!["reject".to_owned()], 0));
}

#[tokio::test(start_paused = true)]
async fn messages_without_a_result_are_retried_and_surplus_results_ignored() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 4).await;
    let sizes = Sizes::default();

    let log = Arc::clone(&sizes);
    let wrong = service_fn(move |batch: Vec<Message>| {
        log.lock().unwrap().push(batch.len());
        // Two too few at first, one too many after.
        let count = if log.lock().unwrap().len() == 1 { batch.len() - 2 } else { batch.len() + 1 };
        ready(Ok::<_, BoxError>(vec![(); count]))
    });
    let report = server(queue.clone())
        .serve_batch(wrong, BatchOptions::new(4))
        .with_graceful_shutdown(sleep(MINUTE))
        .await
        .unwrap();

    assert_eq!((*sizes.lock().unwrap()).clone(), [4, 2]);
    assert_eq!((report.metrics.acked, report.metrics.retried, queue.len()), (4, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_whole_batch_counts_for_each_of_its_messages() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    publish_numbers(&queue, 3).await;
    let calls = Sizes::default();

    let log = Arc::clone(&calls);
    let failing = service_fn(move |batch: Vec<Message>| {
        log.lock().unwrap().push(batch.len());
        let call = log.lock().unwrap().len();
        assert!(call != 1, "in call");
        async move {
            match call {
                2 => Err(BoxError::from("all of them")),
                3 => {
                    sleep(MINUTE).await;
                    unreachable!("the timeout was shorter")
                }
                4 => {
                    sleep(SECOND).await;
                    panic!("later")
                }
                5 => Err(OutcomeError::reject("never any good").into()),
                _ => Ok(vec![(); batch.len()]),
            }
        }
    });
    let report = server(queue.clone())
        .timeout(2 * SECOND)
        .serve_batch(failing, BatchOptions::new(3))
        .with_graceful_shutdown(sleep(2 * MINUTE))
        .await
        .unwrap();

    assert_eq!((*calls.lock().unwrap()).clone(), [3; 5]);
    let metrics = report.metrics;
    assert_eq!((metrics.panics, metrics.errors, metrics.timeouts), (6, 6, 3), "per message");
    assert_eq!((metrics.retried, metrics.dead_lettered, metrics.acked), (12, 3, 0));
    assert_eq!(bodies(&dead), ["0", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_company_and_no_longer_than_it_may() {
    let queue = MemoryQueue::new("jobs");
    let (sizes, start) = (Arc::new(Mutex::new(Vec::new())), Instant::now());

    let log = Arc::clone(&sizes);
    let counting = service_fn(move |batch: Vec<Message>| {
        log.lock().unwrap().push((batch.len(), start.elapsed()));
        ready(Ok::<_, BoxError>(vec![(); batch.len()]))
    });
    let server = server(queue.clone()).concurrency(1);
    let handle = server.handle();
    let serving = tokio::spawn(std::future::IntoFuture::into_future(
        server.serve_batch(counting, BatchOptions::new(3).max_wait(10 * SECOND)),
    ));
    for number in 0..5 {
        publish(&queue, [number.to_string()]).await;
        sleep(SECOND).await;
    }
    sleep(MINUTE).await;
    handle.shutdown();
    serving.await.unwrap().unwrap();

    assert_eq!(*sizes.lock().unwrap(), [(3, 2 * SECOND), (2, 13 * SECOND)], "full, and ten seconds after its first");
}

#[tokio::test(start_paused = true)]
async fn without_a_wait_a_batch_is_what_is_there() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 7).await;
    let sizes = Sizes::default();

    let log = Arc::clone(&sizes);
    let counting = service_fn(move |batch: Vec<Message>| {
        log.lock().unwrap().push(batch.len());
        ready(Ok::<_, BoxError>(vec![(); batch.len()]))
    });
    server(queue)
        .concurrency(1)
        .serve_batch(counting, BatchOptions::new(3))
        .with_graceful_shutdown(sleep(SECOND))
        .await
        .unwrap();

    assert_eq!((*sizes.lock().unwrap()).clone(), [3, 3, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_releases_a_batch_that_was_filling_up() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 2).await;
    let never = service_fn(|_: Vec<Message>| std::future::pending::<Result<Vec<()>, BoxError>>());

    let report = server(queue.clone())
        .serve_batch(never, BatchOptions::new(10).max_wait(3600 * SECOND))
        .with_graceful_shutdown(sleep(SECOND))
        .await
        .unwrap();

    assert_eq!((report.metrics.released, report.metrics.processed, report.drain), (2, 0, Duration::ZERO));
    assert!(queue.messages().iter().all(|message| message.attempt() == 0));
}

#[tokio::test(start_paused = true)]
async fn a_stuck_batch_is_cancelled_at_the_deadline_with_all_its_messages() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 3).await;
    let stuck = service_fn(|_: Vec<Message>| std::future::pending::<Result<Vec<()>, BoxError>>());

    let error = server(queue.clone())
        .grace(SECOND)
        .serve_batch(stuck, BatchOptions::new(3))
        .with_graceful_shutdown(sleep(SECOND))
        .await
        .unwrap_err();

    assert_eq!(ids(&error.report().aborted), held_ids(&queue));
    assert_eq!((error.report().metrics.aborted, queue.len()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn as_many_batches_run_as_the_concurrency_says() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 60).await;
    let running = Gauge::default();

    let gauge = running.clone();
    let slow = service_fn(move |batch: Vec<Message>| {
        let entered = gauge.enter();
        async move {
            let _entered = entered;
            sleep(SECOND).await;
            Ok::<_, BoxError>(vec![(); batch.len()])
        }
    });
    let start = Instant::now();
    let server = server(queue.clone()).concurrency(3);
    let report = server.serve_batch(slow, BatchOptions::new(5)).with_graceful_shutdown(sleep(MINUTE)).await.unwrap();

    assert_eq!((running.most(), report.metrics.acked), (3, 60));
    assert!(start.elapsed() >= MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_as_a_batch_closes_goes_to_another_worker() {
    // The wake-up for the message and the end of the wait fall on the same instant.
    for _ in 0..20 {
        let queue = MemoryQueue::new("jobs");
        let (seen, start) = (Seen::default(), Instant::now());
        let log = seen.clone();
        let slow = service_fn(move |batch: Vec<Message>| {
            batch.iter().for_each(|message| log.note(message));
            async move {
                sleep(MINUTE).await;
                Ok::<_, BoxError>(vec![(); batch.len()])
            }
        });
        let server = server(queue.clone()).concurrency(2);
        let handle = server.handle();
        let serving = tokio::spawn(std::future::IntoFuture::into_future(
            server.serve_batch(slow, BatchOptions::new(2).max_wait(SECOND)),
        ));
        publish(&queue, ["first"]).await;
        sleep(SECOND).await;
        publish(&queue, ["second"]).await;
        sleep(2 * MINUTE).await;
        handle.shutdown_within(MINUTE);
        serving.await.unwrap().unwrap();

        let times = seen.times(start);
        assert!(
            times.iter().all(|time| *time <= 2 * SECOND),
            "one waited for a handler that was not its own: {times:?}"
        );
    }
}
