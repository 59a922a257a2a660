//! Shutting down, whatever the server is doing at that moment.

use std::future::{IntoFuture, ready};
use std::sync::mpsc;
use std::time::Duration;

use chappe::backend::Action;
use chappe::server::{Lanes, Metrics, State};
use chappe::{BoxError, Cancelled, ErrorKind, Message, Outcome, Topic};
use chappe_memory::MemoryQueue;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn an_idle_server_ends_at_once_and_cleanly() {
    let spy = Spy::new(&MemoryQueue::new("jobs"));
    let start = Instant::now();

    let report = serve_for(server(spy.clone()), SECOND, takes(SECOND)).await;

    assert_eq!((start.elapsed(), report.drain), (SECOND, Duration::ZERO), "no polling interval to wait for");
    assert!(report.is_clean());
    assert_eq!((report.metrics, spy.closes()), (Metrics::default(), 1));
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_what_runs_is_finished_and_nothing_else_is_fetched() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 5).await;

    let report = serve_for(server(queue.clone()).concurrency(2), SECOND, takes(10 * SECOND)).await;

    assert_eq!(report.drain, 9 * SECOND, "as long as the handlers took, and no longer");
    assert_eq!((report.metrics.fetched, report.metrics.acked, report.metrics.released), (2, 2, 0));
    assert_eq!(bodies(&queue), ["2", "3", "4"]);
    assert!(queue.messages().iter().all(|message| message.attempt() == 0), "nobody had them");
}

#[tokio::test(start_paused = true)]
async fn what_was_prefetched_goes_to_a_peer_at_once_and_without_blame() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 11).await;
    let stopping = spawn(server(queue.clone()).concurrency(1).prefetch(10), takes(10 * SECOND));
    sleep(SECOND).await;
    assert!(queue.messages().iter().all(|message| message.attempt() == 1), "all are fetched");

    let (seen, start) = (Seen::default(), Instant::now());
    let peer = spawn(server(queue.clone()), notes(&seen, Duration::ZERO));
    let report = stopping.stop().await.unwrap();
    peer.stop().await.unwrap();

    assert_eq!((report.metrics.acked, report.metrics.released), (1, 10));
    assert_eq!(seen.bodies(), ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"], "in their old order");
    assert!(seen.times(start).iter().all(Duration::is_zero), "and not when a lease ends");
    assert!(seen.attempts().iter().all(|attempt| *attempt == 1));
}

#[tokio::test(start_paused = true)]
async fn a_stuck_handler_is_cancelled_at_the_deadline_and_its_message_goes_back() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["stuck"]).await;
    let running = Gauge::default();

    let gauge = running.clone();
    let stuck = service_fn(move |_: Message| {
        let entered = gauge.enter();
        async move {
            let _entered = entered;
            std::future::pending::<Result<(), BoxError>>().await
        }
    });
    let error = try_serve_for(server(queue.clone()).grace(3 * SECOND), SECOND, stuck).await.unwrap_err();

    assert!(error.is_deadline() && error.fatal_error().is_none());
    assert_eq!(
        error.to_string(),
        "shutdown passed its deadline: 1 handlers were cancelled and 0 messages are unsettled"
    );
    let report = error.report();
    assert_eq!((ids(&report.aborted), &*report.unsettled), (held_ids(&queue), &[][..]));
    assert_eq!((report.metrics.aborted, report.metrics.released, report.metrics.retried), (1, 1, 0));
    assert_eq!((report.drain, running.now()), (3 * SECOND, 0));
    assert_eq!(queue.messages()[0].attempt(), 0, "no attempt is counted");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_told_of_the_deadline_may_still_answer() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;

    let polite = service_fn(async |message: Message| {
        let reason = message.lease().expect("the server sets it").cancelled().await;
        assert_eq!(reason, Cancelled::Shutdown);
        Ok::<_, BoxError>(Outcome::Retry)
    });
    let report = serve_for(server(queue.clone()).grace(3 * SECOND), SECOND, polite).await;

    assert_eq!((report.metrics.aborted, report.metrics.retried, queue.len()), (0, 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_does_not_keep_the_server_from_ending() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["stuck"]).await;
    let (unblock, blocked) = mpsc::sync_channel::<()>(0);
    let (enter, mut entered) = tokio::sync::mpsc::unbounded_channel();
    let blocked = std::sync::Arc::new(std::sync::Mutex::new(blocked));

    let served = spawn(
        server(queue.clone()).grace(Duration::ZERO),
        service_fn(move |_: Message| {
            enter.send(()).unwrap();
            let _ = blocked.lock().unwrap().recv();
            ready(Ok::<_, BoxError>(()))
        }),
    );
    entered.recv().await.unwrap();
    let error = served.stop().await.unwrap_err();

    assert!(error.is_deadline());
    assert_eq!((error.report().metrics.aborted, ids(&error.report().aborted)), (1, held_ids(&queue)));
    assert_eq!(queue.messages()[0].attempt(), 0, "it went back at once, without blame");
    drop(unblock);
}

#[tokio::test(start_paused = true)]
async fn a_second_shutdown_neither_shortens_nor_lengthens_the_grace() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let served = spawn(server(queue.clone()).grace(10 * SECOND), never_ends());
    sleep(SECOND).await;

    let start = Instant::now();
    served.handle.shutdown();
    sleep(5 * SECOND).await;
    served.handle.shutdown();
    served.ended().await.unwrap_err();

    assert_eq!(start.elapsed(), 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_brought_forward_and_never_back() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let served = spawn(server(queue.clone()).grace(100 * SECOND), never_ends());
    sleep(SECOND).await;

    let start = Instant::now();
    served.handle.shutdown();
    sleep(5 * SECOND).await;
    served.handle.shutdown_within(20 * SECOND);
    sleep(SECOND).await;
    served.handle.shutdown_within(10 * SECOND);
    sleep(SECOND).await;
    served.handle.shutdown_within(1000 * SECOND);
    served.handle.shutdown_within(Duration::MAX);
    served.ended().await.unwrap_err();

    assert_eq!(start.elapsed(), 16 * SECOND, "ten seconds after the second after the fifth");
}

#[tokio::test(start_paused = true)]
async fn a_grace_without_end_waits_for_the_handlers() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;

    let report = serve_for(server(queue.clone()).grace(Duration::MAX), SECOND, takes(3600 * SECOND)).await;

    assert_eq!((report.metrics.acked, report.drain), (1, 3599 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn what_a_fetch_brings_after_the_stop_is_released() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["late"]).await;
    let spy = Spy::new(&queue).fetch_time(5 * SECOND);
    let seen = Seen::default();

    let report = serve_for(server(spy.clone()), SECOND, notes(&seen, Duration::ZERO)).await;

    assert_eq!((seen.count(), report.drain), (0, 4 * SECOND), "the fetch was waited for");
    assert_eq!((report.metrics.fetched, report.metrics.released), (1, 1));
    assert_eq!((spy.actions(), queue.messages()[0].attempt()), (vec![Action::Release], 0));
}

#[tokio::test(start_paused = true)]
async fn settlements_that_fail_during_the_drain_are_repeated_until_they_get_through() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let served = spawn(server(queue.clone()), takes(10 * SECOND));
    sleep(SECOND).await;

    queue.faults().fail_next_settles(3, ErrorKind::Unavailable);
    let report = served.stop().await.unwrap();

    assert_eq!((report.metrics.acked, report.metrics.settle_retries), (1, 3));
    assert!(report.is_clean() && queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn settlements_that_never_get_through_are_given_up_and_told() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let spy = Spy::new(&queue).on_settle(|_| Reply::Fail(ErrorKind::Unavailable));

    let error = try_serve_for(server(spy), SECOND, takes(2 * SECOND)).await.unwrap_err();

    assert!(error.is_deadline());
    assert_eq!((error.report().metrics.unsettled, ids(&error.report().unsettled)), (1, held_ids(&queue)));
    assert_eq!((error.report().metrics.acked, error.report().drain), (0, 3 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_given_up_as_well() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let spy = Spy::new(&queue).on_settle(|_| Reply::Late(3600 * SECOND)).hang_close();

    let error = try_serve_for(server(spy.clone()), SECOND, takes(2 * SECOND)).await.unwrap_err();

    assert_eq!(ids(&error.report().unsettled), held_ids(&queue));
    assert_eq!(
        (error.report().drain, spy.closes()),
        (4 * SECOND, 1),
        "one to be gone, two for settling, one for closing"
    );
}

#[tokio::test(start_paused = true)]
async fn a_settlement_given_up_long_ago_does_not_spoil_a_clean_shutdown() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let mut refused = false;
    let spy = Spy::new(&queue).on_settle(move |entry| {
        let refuse = entry.action == Action::Ack && !std::mem::replace(&mut refused, true);
        if refuse { Reply::Fail(ErrorKind::PermissionDenied) } else { Reply::Pass }
    });

    let report = serve_for(server(spy), 3600 * SECOND, takes(SECOND)).await;

    assert_eq!((report.metrics.unsettled, report.unsettled.len()), (1, 0), "it is counted, and came again since");
    assert!(report.is_clean() && queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_server_may_be_shut_down_before_it_is_served() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let server = server(queue.clone());
    let handle = server.handle();

    handle.shutdown();
    let report = server.serve(never_ends()).await.unwrap();

    assert_eq!((report.metrics.processed, queue.len(), handle.state()), (0, 1, State::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_shut_the_server_down() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 3).await;
    let server = server(queue.clone()).concurrency(1);
    let handle = server.handle();

    let report = server
        .serve(service_fn(move |_: Message| {
            handle.shutdown();
            async {
                sleep(SECOND).await;
                Ok::<_, BoxError>(())
            }
        }))
        .await
        .unwrap();

    assert_eq!((report.metrics.acked, report.drain, queue.len()), (1, SECOND, 2));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_for_the_end_is_cancelled_at_the_deadline() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let server = server(queue.clone()).grace(3600 * SECOND);
    let handle = server.handle();

    let error = server
        .serve(service_fn(move |_: Message| {
            let handle = handle.clone();
            async move {
                handle.shutdown_within(SECOND);
                handle.stopped().await;
                Ok::<_, BoxError>(())
            }
        }))
        .await
        .unwrap_err();

    assert!(error.is_deadline());
    assert_eq!((error.report().drain, queue.len()), (SECOND, 1));
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_held_here_is_released() {
    let queue = MemoryQueue::builder("jobs").ordered(false).build().unwrap();
    for body in ["a1", "a2"] {
        queue.topic().publish(keyed("a", body)).await.unwrap();
    }

    let failing = service_fn(|_: Message| ready(Ok::<_, BoxError>(Outcome::RetryAfter(MINUTE))));
    let report = serve_for(server(queue.clone()).lanes(Lanes::Ordered), SECOND, failing).await;

    assert_eq!((report.drain, report.metrics.released, report.metrics.in_flight), (Duration::ZERO, 2, 0));
    assert_eq!(bodies(&queue), ["a1", "a2"]);
    assert!(queue.messages().iter().all(|message| message.attempt() == 0));
}

#[tokio::test(start_paused = true)]
async fn a_backoff_of_fetching_is_interrupted() {
    let queue = MemoryQueue::new("jobs");
    queue.faults().disconnect();

    let report = serve_for(server(queue.clone()), 3600 * SECOND, never_ends()).await;

    assert_eq!(report.drain, Duration::ZERO);
    assert!(report.metrics.fetch_errors > 300, "{}", report.metrics.fetch_errors);
}

#[tokio::test(start_paused = true)]
async fn a_connection_attempt_that_hangs_is_given_up() {
    let spy = Spy::new(&MemoryQueue::new("jobs")).hang_consume();

    let report = serve_for(server(spy.clone()), SECOND, never_ends()).await;

    assert_eq!((report.drain, spy.closes()), (Duration::ZERO, 1));
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_ignores_the_stop_is_given_up_after_the_deadline() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let spy = Spy::new(&queue).fetch_time(3600 * SECOND);

    let report = serve_for(server(spy).grace(2 * SECOND), SECOND, never_ends()).await;

    assert_eq!((report.drain, queue.len()), (3 * SECOND, 1), "the grace, and a second to be gone");
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_waits_for_room_is_neither_lost_nor_in_the_way() {
    let queue = MemoryQueue::builder("jobs").capacity(2).build().unwrap();
    publish_numbers(&queue, 2).await;
    let waiting = tokio::spawn({
        let topic = queue.topic();
        async move { topic.publish("late").await }
    });

    let report = serve_for(server(queue.clone()).concurrency(1), SECOND, takes(2 * SECOND)).await;

    waiting.await.unwrap().expect("the acknowledgement during the drain made room");
    assert_eq!((report.metrics.acked, bodies(&queue)), (1, vec!["1".to_owned(), "late".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_handle_or_the_signal_does_not_stop_the_server() {
    let queue = MemoryQueue::new("jobs");
    let serve = server(queue.clone()).serve(takes(Duration::ZERO));
    let handle = serve.handle();
    drop(serve.handle());
    let serving = tokio::spawn(serve.with_graceful_shutdown(std::future::pending::<()>()).into_future());
    sleep(SECOND).await;

    publish(&queue, ["x"]).await;
    sleep(SECOND).await;
    assert_eq!((handle.state(), queue.len()), (State::Serving, 0));

    handle.shutdown();
    serving.await.unwrap().unwrap();
}
