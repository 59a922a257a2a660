//! From options to the end: what is refused, what is reported, and what the handle tells meanwhile.

use std::future::{IntoFuture, ready};
use std::time::Duration;

use chappe::server::{BatchOptions, DURATION_BUCKETS, State};
use chappe::{BoxError, ErrorKind, Message, Server};
use chappe_memory::MemoryQueue;
use tokio::time::{Instant, sleep, timeout};
use tower::service_fn;

use crate::support::*;

async fn refused(server: Server<impl chappe::backend::Queue>) -> String {
    let handle = server.handle();
    let error = server.serve(never_ends()).await.unwrap_err();
    let fatal = error.fatal_error().expect("an option that makes no sense");
    assert_eq!((fatal.kind(), handle.state()), (ErrorKind::Invalid, State::Stopped));
    fatal.to_string()
}

#[tokio::test(start_paused = true)]
async fn options_that_make_no_sense_are_refused_in_clear_words() {
    let queue = MemoryQueue::new("jobs");
    let server = || Server::new(queue.clone());

    assert_eq!(refused(server().concurrency(0)).await, "concurrency is 0, at least 1 is needed to handle anything");
    assert_eq!(refused(server().max_attempts(0)).await, "max_attempts is 0, at least 1 is needed to handle anything");
    assert_eq!(refused(server().max_bytes(0)).await, "max_bytes is 0, at least 1 is needed to fetch anything");
    assert_eq!(refused(server().timeout(Duration::ZERO)).await, "timeout is zero, no handler could finish in time");
    assert_eq!(refused(Server::<MemoryQueue>::weighted([])).await, "server has no queue to serve");
    assert_eq!(
        refused(Server::weighted([(queue.clone(), 1), (queue.clone(), 0)])).await,
        "queue jobs has weight 0, it would never be served"
    );
    let none = Spy::new(&queue).with(|capabilities| capabilities.max_fetch = 0);
    assert_eq!(refused(Server::new(none)).await, "queue jobs declares that it fetches or settles 0 messages at a time");
    let batches = service_fn(|_: Vec<Message>| ready(Ok::<_, BoxError>(Vec::<()>::new())));
    let error = server().serve_batch(batches, BatchOptions::new(0)).await.unwrap_err();
    assert_eq!(error.fatal_error().unwrap().to_string(), "batches have at most 0 messages, at least 1 is needed");
}

#[tokio::test(start_paused = true)]
async fn the_largest_options_do_not_overflow() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 10).await;

    let largest = Server::weighted([(queue.clone(), u32::MAX), (MemoryQueue::new("other"), 1)])
        .concurrency(usize::MAX)
        .prefetch(usize::MAX)
        .max_bytes(usize::MAX)
        .max_attempts(u32::MAX)
        .timeout(Duration::MAX)
        .grace(Duration::MAX)
        .lanes(chappe::server::Lanes::Ordered);
    let report = serve_for(largest, SECOND, takes(SECOND / 2)).await;

    assert_eq!(report.metrics.acked, 10);
}

#[tokio::test(start_paused = true)]
async fn the_handle_tells_the_life_of_the_server() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 3).await;
    let server = server(queue.clone()).concurrency(2);
    let handle = server.handle();
    assert_eq!((handle.state(), handle.is_ready(), handle.health().last_fetch), (State::Starting, false, None));

    let serving = tokio::spawn(server.serve(takes(10 * SECOND)).into_future());
    handle.started().await;
    assert_eq!(handle.state(), State::Serving);
    sleep(4 * SECOND).await;
    let metrics = handle.metrics();
    assert_eq!((metrics.fetched, metrics.in_flight, metrics.oldest), (2, 2, Some(4 * SECOND)));
    let health = handle.health();
    assert_eq!((health.oldest, health.last_fetch, handle.is_ready()), (Some(4 * SECOND), Some(4 * SECOND), true));

    handle.shutdown();
    tokio::task::yield_now().await;
    sleep(SECOND).await;
    assert_eq!((handle.state(), handle.is_ready()), (State::Draining, false));

    handle.stopped().await;
    assert_eq!((handle.state(), handle.metrics().in_flight), (State::Stopped, 0));
    let report = serving.await.unwrap().unwrap();
    assert_eq!(handle.metrics(), report.metrics);
    assert_eq!(report.to_string(), "2 acked, 0 retried, 0 dead-lettered, 0 released, drained in 6s");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_dropped_has_stopped() {
    for stage in ["built", "served", "polled"] {
        let queue = MemoryQueue::new("jobs");
        let server = server(queue.clone());
        let handle = server.handle();
        match stage {
            "built" => drop(server),
            "served" => drop(server.serve(never_ends())),
            _ => assert!(timeout(SECOND, server.serve(never_ends()).into_future()).await.is_err()),
        }

        let stopped = timeout(SECOND, handle.stopped()).await;

        assert!(stopped.is_ok(), "{stage}");
        assert_eq!((handle.state(), handle.metrics().in_flight), (State::Stopped, 0), "{stage}");
    }
}

#[tokio::test(start_paused = true)]
async fn serving_dropped_in_flight_drops_the_handlers_and_loses_nothing_after_the_lease() {
    let queue = MemoryQueue::builder("jobs").lease(30 * SECOND).build().unwrap();
    publish_numbers(&queue, 10).await;
    let running = Gauge::default();
    let gauge = running.clone();
    let slow = service_fn(move |_: Message| {
        let entered = gauge.enter();
        async move {
            let _entered = entered;
            sleep(MINUTE).await;
            Ok::<_, BoxError>(())
        }
    });
    let cut = server(queue.clone()).concurrency(3).prefetch(3).serve(slow);
    assert!(timeout(10 * SECOND, cut.into_future()).await.is_err());
    tokio::task::yield_now().await;
    assert_eq!((running.most(), running.now(), queue.len()), (3, 0, 10));

    let (seen, start) = (Seen::default(), Instant::now());
    let report = serve_for(server(queue.clone()), MINUTE, notes(&seen, Duration::ZERO)).await;

    assert_eq!((report.metrics.acked, queue.len()), (10, 0));
    assert_eq!(seen.times(start).iter().filter(|time| time.is_zero()).count(), 4, "those nobody had");
    assert!(*seen.times(start).last().unwrap() <= 30 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn durations_are_counted_by_bucket() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["0", "20", "300", "60000"]).await;

    let report = serve_for(
        server(queue),
        2 * MINUTE,
        service_fn(async |message: Message| {
            match text(&message).parse().unwrap() {
                0 => {}
                millis => sleep(Duration::from_millis(millis)).await,
            }
            Ok::<_, BoxError>(())
        }),
    )
    .await;

    let mut expected = [0; DURATION_BUCKETS.len() + 1];
    for (bound, count) in [(0.005, 1), (0.025, 1), (0.5, 1)] {
        expected[DURATION_BUCKETS.iter().position(|bucket| *bucket == bound).unwrap()] = count;
    }
    expected[DURATION_BUCKETS.len()] = 1;
    assert_eq!(report.metrics.process_duration, expected);
    assert_eq!(report.metrics.process_duration_sum, Duration::from_millis(60_320));
}

#[tokio::test(start_paused = true)]
async fn handlers_that_wait_and_handlers_that_do_not_are_all_counted() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 300).await;

    let report = serve_for(
        server(queue),
        MINUTE,
        service_fn(async |message: Message| {
            if text(&message).parse::<u32>().unwrap() % 7 == 3 {
                sleep(SECOND).await;
            }
            Ok::<_, BoxError>(())
        }),
    )
    .await;

    let metrics = report.metrics;
    assert_eq!((metrics.fetched, metrics.processed, metrics.acked), (300, 300, 300));
}

#[tokio::test(start_paused = true)]
async fn a_long_queue_before_a_stuck_receiver_is_fetched_no_further_than_the_limit() {
    let queue = MemoryQueue::new("jobs");
    for number in 0..100_000_u32 {
        chappe::Topic::publish(&queue.topic(), number.to_be_bytes().to_vec()).await.unwrap();
    }

    let stuck = server(queue.clone()).concurrency(64).grace(Duration::ZERO);
    let error = try_serve_for(stuck, MINUTE, never_ends()).await.unwrap_err();

    assert_eq!((error.report().metrics.fetched, error.report().metrics.aborted), (64, 64));
    assert_eq!(queue.len(), 100_000);
}
