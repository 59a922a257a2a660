//! Fetching: no more than there is room for, through failures, and not at all while there is nothing to do.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use chappe::server::State;
use chappe::{BoxError, ErrorKind, Message, Server, Topic};
use chappe_memory::MemoryQueue;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn transient_failures_are_waited_out_and_shown() {
    let queue = MemoryQueue::new("jobs");
    let seen = Seen::default();
    let served = spawn(server(queue.clone()), notes(&seen, Duration::ZERO));
    served.handle.started().await;
    assert!(served.handle.is_ready());

    queue.faults().disconnect();
    sleep(MINUTE).await;
    let health = served.handle.health();
    assert!(!served.handle.is_ready() && !health.fetching);
    assert_eq!((health.state, health.error.as_deref()), (State::Serving, Some("queue jobs is disconnected")));

    queue.faults().reconnect();
    publish(&queue, ["x"]).await;
    sleep(11 * SECOND).await;
    assert!(served.handle.is_ready());
    let health = served.handle.health();
    assert_eq!((health.fetching, health.error), (true, None));
    let report = served.stop().await.unwrap();
    assert_eq!((seen.bodies(), report.metrics.acked), (vec!["x".to_owned()], 1));
    assert!((6..60).contains(&report.metrics.fetch_errors), "{}", report.metrics.fetch_errors);
}

#[tokio::test(start_paused = true)]
async fn a_fatal_failure_ends_serving_after_the_handlers_have_finished() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let served = spawn(server(queue.clone()).concurrency(2), takes(10 * SECOND));
    sleep(SECOND).await;

    queue.faults().fail_next_fetches(1, ErrorKind::PermissionDenied);
    let error = served.ended().await.unwrap_err();

    let fatal = error.fatal_error().expect("no retry can mend it");
    assert_eq!((fatal.kind(), error.to_string()), (ErrorKind::PermissionDenied, "server cannot go on".to_owned()));
    assert!(!error.is_deadline());
    assert_eq!((error.report().metrics.acked, error.report().drain), (1, 9 * SECOND));
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_closed_ends_serving_once_it_is_empty() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 100).await;
    queue.shut();

    let report = server(queue.clone()).concurrency(3).serve(takes(SECOND)).await.unwrap();

    assert_eq!((report.metrics.acked, queue.len()), (100, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_fetch_ends_serving() {
    let spy = Spy::new(&MemoryQueue::new("jobs")).panic_in_fetch();

    let error = server(spy.clone()).serve(never_ends()).await.unwrap_err();

    assert_eq!(error.fatal_error().unwrap().to_string(), "fetching panicked");
    assert_eq!(spy.closes(), 1);
}

#[tokio::test(start_paused = true)]
async fn connecting_is_tried_until_it_succeeds() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let spy = Spy::new(&queue).fail_consume(4, ErrorKind::Unavailable);
    let seen = Seen::default();

    let served = spawn(server(spy), notes(&seen, Duration::ZERO));
    tokio::task::yield_now().await;
    assert_eq!((served.handle.state(), served.handle.is_ready()), (State::Starting, false));
    served.handle.started().await;
    assert_eq!(served.handle.state(), State::Serving);
    sleep(MINUTE).await;
    let report = served.stop().await.unwrap();

    assert_eq!((seen.count(), report.metrics.fetch_errors), (1, 4));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_exist_ends_serving() {
    let spy = Spy::new(&MemoryQueue::new("jobs")).fail_consume(1, ErrorKind::NotFound);

    let error = server(spy).serve(never_ends()).await.unwrap_err();

    assert_eq!(error.fatal_error().map(chappe::Error::kind), Some(ErrorKind::NotFound));
}

#[tokio::test(start_paused = true)]
async fn a_fatal_failure_of_one_of_two_queues_ends_serving_and_loses_nothing_of_the_other() {
    let (good, bad) = (MemoryQueue::new("good"), MemoryQueue::new("bad"));
    publish_numbers(&good, 10).await;
    let both = Server::weighted([(good.clone(), 1), (bad.clone(), 1)]).concurrency(4);
    let served = spawn(both, takes(2 * SECOND));
    sleep(SECOND).await;

    bad.faults().fail_next_fetches(1, ErrorKind::NotFound);
    let error = served.ended().await.unwrap_err();

    assert_eq!(error.fatal_error().unwrap().to_string(), "fetch on queue bad was made to fail");
    let metrics = &error.report().metrics;
    assert_eq!((metrics.acked, good.len()), (4, 6));
    assert!(good.messages().iter().all(|message| message.attempt() == 0), "what waited was released");
}

#[tokio::test(start_paused = true)]
async fn one_of_two_queues_may_fail_for_a_time_without_holding_up_the_other() {
    let (good, bad) = (MemoryQueue::new("good"), MemoryQueue::new("bad"));
    publish_numbers(&good, 10).await;
    publish_numbers(&bad, 10).await;
    bad.faults().fail_next_fetches(10, ErrorKind::Unavailable);
    let (seen, start) = (Seen::default(), Instant::now());

    let both = Server::weighted([(good.clone(), 1), (bad.clone(), 1)]);
    let report = serve_for(both, MINUTE, notes(&seen, Duration::ZERO)).await;

    assert_eq!((report.metrics.acked, report.metrics.fetch_errors), (20, 10));
    assert!(seen.times(start)[..10].iter().all(Duration::is_zero));
}

#[tokio::test(start_paused = true)]
async fn no_more_are_out_than_can_be_handled() {
    for (concurrency, prefetch) in [(1, 0), (4, 0), (4, 3)] {
        let queue = MemoryQueue::new("jobs");
        publish_numbers(&queue, 40).await;
        let (spy, running) = (Spy::new(&queue), Gauge::default());
        let (gauge, looked) = (running.clone(), queue.clone());
        let most_out = Arc::new(AtomicUsize::new(0));
        let most = Arc::clone(&most_out);

        let report = serve_for(
            server(spy.clone()).concurrency(concurrency).prefetch(prefetch),
            10 * MINUTE,
            service_fn(move |_: Message| {
                let entered = gauge.enter();
                let out = looked.messages().iter().filter(|message| message.attempt() > 0).count();
                most.fetch_max(out, Relaxed);
                async move {
                    let _entered = entered;
                    sleep(SECOND).await;
                    Ok::<_, BoxError>(())
                }
            }),
        )
        .await;

        assert_eq!((report.metrics.acked, running.most()), (40, concurrency), "reached, and never exceeded");
        assert!(spy.asked().iter().all(|max| *max <= concurrency + prefetch), "{:?}", spy.asked());
        // What is acknowledged frees its place before the broker has heard of it.
        assert!(most_out.load(Relaxed) <= 2 * (concurrency + prefetch), "{}", most_out.load(Relaxed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_asks_for_no_more_than_the_queue_gives_at_a_time() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 40).await;
    let spy = Spy::new(&queue).with(|capabilities| capabilities.max_fetch = 10);

    serve_for(server(spy.clone()), MINUTE, takes(SECOND)).await;

    let asked = spy.asked();
    assert!(asked.iter().all(|max| *max <= 10), "{asked:?}");
    assert!(asked.len() < 10, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn bytes_are_limited_as_well() {
    let queue = MemoryQueue::new("jobs");
    for _ in 0..100 {
        queue.topic().publish(vec![0; 1000]).await.unwrap();
    }
    let running = Gauge::default();

    let gauge = running.clone();
    let report = serve_for(
        server(queue.clone()).max_bytes(5000),
        10 * MINUTE,
        service_fn(move |_: Message| {
            let entered = gauge.enter();
            async move {
                let _entered = entered;
                sleep(SECOND).await;
                Ok::<_, BoxError>(())
            }
        }),
    )
    .await;

    assert_eq!(report.metrics.acked, 100);
    // The very first fetch knows no sizes yet.
    assert!(running.most() <= 64, "{}", running.most());
    assert!(report.metrics.fetched == 100);
}

#[test]
fn an_idle_server_is_not_woken() {
    let parks = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&parks);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .on_thread_park(move || {
            count.fetch_add(1, Relaxed);
        })
        .build()
        .unwrap();

    runtime.block_on(async {
        // What the timer of the test itself takes, which counts the day down in a few steps.
        let day = 24 * 60 * MINUTE;
        sleep(day).await;
        let own = parks.load(Relaxed);
        let queue = MemoryQueue::new("jobs");
        let spy = Spy::new(&queue);
        let served = spawn(server(spy.clone()), takes(Duration::ZERO));
        publish_numbers(&queue, 10).await;
        sleep(MINUTE).await;
        let (fetches, before) = (spy.asked().len(), parks.load(Relaxed));

        sleep(day).await;

        assert_eq!(spy.asked().len(), fetches);
        let woken = parks.load(Relaxed) - before;
        assert!(woken <= own + 2, "the thread slept {woken} times on an idle day, and {own} times without a server");
        assert_eq!(served.stop().await.unwrap().metrics.acked, 10);
    });
}

#[tokio::test(start_paused = true)]
async fn the_pause_a_broker_asks_for_is_kept() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    queue.faults().fail_next_fetches(3, ErrorKind::Throttled);
    let (seen, start) = (Seen::default(), Instant::now());

    let log = seen.clone();
    serve_for(
        server(queue.clone()),
        MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            ready(Ok::<_, BoxError>(()))
        }),
    )
    .await;

    assert_eq!(seen.count(), 1);
    assert!(seen.times(start)[0] <= Duration::from_millis(50 + 100 + 200));
}
