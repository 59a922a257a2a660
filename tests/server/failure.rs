//! Handlers that fail, in every way they can, and what becomes of the message.

use std::future::{Future, IntoFuture, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use chappe::backend::{ConsumeOptions, Consumer, DeadLetter, Queue, StopToken};
use chappe::server::Backoff;
use chappe::{BoxError, Error, ErrorKind, Message, Outcome, OutcomeError, Server, Topic};
use chappe_memory::MemoryQueue;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};
use tower::service_fn;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn an_error_is_retried_after_the_backoff_until_the_handler_succeeds() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let (seen, start) = (Seen::default(), Instant::now());

    let log = seen.clone();
    let report = serve_for(
        server(queue.clone()),
        MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            ready(if log.count() < 4 { Err("not yet") } else { Ok(()) })
        }),
    )
    .await;

    assert_eq!(seen.attempts(), [1, 2, 3, 4]);
    assert_eq!(seen.times(start), [0, 1, 2, 3].map(Duration::from_secs));
    let metrics = report.metrics;
    assert_eq!((metrics.fetched, metrics.processed), (4, 4));
    assert_eq!((metrics.errors, metrics.retried, metrics.acked, metrics.dead_lettered), (3, 3, 1, 0));
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_retried_wherever_it_happens_and_harms_no_neighbour() {
    for when in ["call", "first poll", "later"] {
        let queue = MemoryQueue::new("jobs");
        publish(&queue, ["bad", "good"]).await;
        let seen = Seen::default();

        let log = seen.clone();
        let report = serve_for(
            server(queue.clone()).concurrency(1),
            MINUTE,
            service_fn(move |message: Message| {
                log.note(&message);
                let bad = text(&message) == "bad" && log.count_of(&message) == 1;
                assert!(!(bad && when == "call"), "in call");
                async move {
                    assert!(!(bad && when == "first poll"), "in the first poll");
                    sleep(SECOND).await;
                    assert!(!bad, "later");
                    Ok::<_, BoxError>(())
                }
            }),
        )
        .await;

        assert_eq!(seen.sorted(), ["bad", "bad", "good"], "{when}");
        let metrics = report.metrics;
        assert_eq!((metrics.panics, metrics.retried, metrics.acked, metrics.processed), (1, 1, 2, 3), "{when}");
        assert!(queue.is_empty(), "{when}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_drop_of_a_future_costs_a_worker_and_no_message() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x", "y"]).await;
    let dropped = Arc::new(AtomicUsize::new(0));

    let count = Arc::clone(&dropped);
    let report = serve_for(
        server(queue.clone()).concurrency(1),
        MINUTE,
        service_fn(move |_: Message| PanicsInDrop { panics: count.fetch_add(1, Relaxed) == 0 }),
    )
    .await;

    assert_eq!((report.metrics.acked, report.metrics.retried), (2, 1), "nothing but an answer acknowledges");
    assert_eq!(dropped.load(Relaxed), 3);
    assert!(queue.is_empty());
}

struct PanicsInDrop {
    panics: bool,
}

impl Future for PanicsInDrop {
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        assert!(!self.panics, "in drop");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_over_its_timeout_is_dropped_and_its_message_retried() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let (running, seen, start) = (Gauge::default(), Seen::default(), Instant::now());

    let (gauge, log) = (running.clone(), seen.clone());
    let report = serve_for(
        server(queue.clone()).timeout(2 * SECOND),
        MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            let first = log.count() == 1;
            let entered = gauge.enter();
            async move {
                let _entered = entered;
                if first {
                    std::future::pending::<()>().await;
                }
                Ok::<_, BoxError>(())
            }
        }),
    )
    .await;

    assert_eq!(seen.times(start), [Duration::ZERO, 3 * SECOND], "the timeout and the backoff");
    assert_eq!((running.now(), running.most()), (0, 1));
    assert_eq!((report.metrics.timeouts, report.metrics.retried, report.metrics.acked), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_handler_within_its_timeout_is_left_alone() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;

    let slow = service_fn(async |_: Message| {
        sleep(2 * SECOND).await;
        Ok::<_, BoxError>(())
    });
    let report = serve_for(server(queue).timeout(2 * SECOND + Duration::from_millis(1)), MINUTE, slow).await;

    assert_eq!((report.metrics.timeouts, report.metrics.acked), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn serving_dropped_at_any_await_of_a_handler_loses_nothing() {
    const AWAITS: usize = 5;
    for at in 0..=AWAITS {
        let queue = MemoryQueue::new("jobs");
        publish(&queue, ["x"]).await;
        let reached = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&reached);
        let stuck = service_fn(move |_: Message| {
            let count = Arc::clone(&count);
            async move {
                for step in 0..AWAITS {
                    if step == at {
                        std::future::pending::<()>().await;
                    }
                    count.fetch_add(1, Relaxed);
                    yield_now().await;
                }
                Err::<(), _>("never acknowledged")
            }
        });
        let cut = timeout(SECOND / 2, server(queue.clone()).serve(stuck).into_future()).await;
        assert!(cut.is_err());

        let report =
            serve_for(server(queue.clone()), MINUTE, service_fn(|_: Message| ready(Ok::<_, BoxError>(())))).await;

        assert_eq!(reached.load(Relaxed), at.min(AWAITS), "at await {at}");
        assert_eq!((report.metrics.acked, queue.len()), (1, 0), "at await {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_message_goes_to_the_dead_letter_at_once_with_the_reason() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    publish(&queue, ["not json"]).await;
    let seen = Seen::default();

    let log = seen.clone();
    let report = serve_for(
        server(queue.clone()),
        MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            ready(text(&message).parse::<u32>().map(|_| ()).map_err(OutcomeError::reject))
        }),
    )
    .await;

    let letters = dead.messages();
    let letter = letters[0].extensions().get::<DeadLetter>().expect("a dead letter says why");
    assert_eq!((&*letter.reason, &*letter.source, letter.attempts), ("invalid digit found in string", "jobs", 1));
    assert_eq!((text(&letters[0]), seen.count(), queue.len()), ("not json".to_owned(), 1, 0));
    assert_eq!((report.metrics.dead_lettered, report.metrics.errors, report.metrics.retried), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_unroutable_message_is_dead_lettered_and_never_acked() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    publish(&queue, ["x"]).await;

    let nowhere = service_fn(|_: Message| ready(Ok::<_, BoxError>(Outcome::reject("no route matches"))));
    let report = serve_for(server(queue.clone()), MINUTE, nowhere).await;

    assert_eq!((report.metrics.dead_lettered, report.metrics.acked, report.metrics.errors), (1, 0, 0));
    assert_eq!(bodies(&dead), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_message_without_a_dead_letter_is_kept_and_tried_rarely() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let (seen, start) = (Seen::default(), Instant::now());
    let backoff = Backoff::exponential(SECOND, 10 * SECOND);

    let log = seen.clone();
    let rejecting = service_fn(move |message: Message| {
        log.note(&message);
        ready(Ok::<_, BoxError>(Outcome::reject("bad")))
    });
    serve_for(Server::new(queue.clone()).backoff(backoff), 25 * SECOND, rejecting).await;

    assert_eq!(seen.times(start), [0, 10, 20].map(Duration::from_secs), "as rarely as the backoff goes");
    assert_eq!(bodies(&queue), ["x"], "nothing is discarded");
}

#[tokio::test(start_paused = true)]
async fn a_poison_message_ends_in_the_dead_letter_after_its_attempts() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    publish(&queue, ["poison", "fine"]).await;
    let seen = Seen::default();

    let log = seen.clone();
    let report = serve_for(
        server(queue.clone()).max_attempts(3),
        MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            ready(if text(&message) == "poison" { Err(std::io::Error::other("disk full")) } else { Ok(()) })
        }),
    )
    .await;

    let letter = dead.messages()[0].extensions().get::<DeadLetter>().cloned().expect("a dead letter says why");
    assert_eq!((&*letter.reason, letter.attempts), ("attempt 3 of 3 failed: disk full", 3));
    assert_eq!(seen.sorted(), ["fine", "poison", "poison", "poison"]);
    let metrics = report.metrics;
    assert_eq!((metrics.dead_lettered, metrics.retried, metrics.errors, metrics.acked), (1, 2, 3, 1));
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_poison_message_without_a_dead_letter_is_never_discarded() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["poison"]).await;

    let failing = service_fn(|_: Message| ready(Err::<(), _>("always")));
    let report = serve_for(server(queue.clone()).max_attempts(3), 100 * SECOND - SECOND / 2, failing).await;

    assert_eq!((report.metrics.errors, report.metrics.retried), (100, 100));
    assert_eq!(bodies(&queue), ["poison"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_used_up_its_attempts_elsewhere_is_not_even_handled() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    publish(&queue, ["killer"]).await;
    // As when the process dies three times with the message in its hands.
    for _ in 0..3 {
        let options = ConsumeOptions::new(StopToken::never(), std::num::NonZeroUsize::MIN);
        let mut consumer = queue.consume(options).await.unwrap();
        consumer.fetch(1, &mut Vec::new()).await.unwrap();
        queue.faults().expire_leases();
    }
    let called = Arc::new(AtomicBool::new(false));

    let mark = Arc::clone(&called);
    let report = serve_for(
        server(queue.clone()).max_attempts(3),
        MINUTE,
        service_fn(move |_: Message| {
            mark.store(true, Relaxed);
            ready(Ok::<_, BoxError>(()))
        }),
    )
    .await;

    assert!(!called.load(Relaxed));
    let letter = dead.messages()[0].extensions().get::<DeadLetter>().cloned().expect("a dead letter says why");
    assert_eq!(&*letter.reason, "attempt 4 is over the limit of 3");
    assert_eq!((report.metrics.processed, report.metrics.dead_lettered, report.metrics.fetched), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_handler_and_a_busy_broker_may_say_when_to_retry() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let (seen, start) = (Seen::default(), Instant::now());

    let log = seen.clone();
    serve_for(
        server(queue.clone()),
        MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            ready(match log.count() {
                1 => Ok(Outcome::RetryAfter(5 * SECOND)),
                2 => Err(BoxError::from(OutcomeError::retry_after(7 * SECOND, "later"))),
                3 => Err(Error::new(ErrorKind::Throttled, "busy").with_retry_after(11 * SECOND).into()),
                4 => Err(std::io::Error::other(OutcomeError::new(Outcome::Ack, "harmless")).into()),
                _ => unreachable!("the fourth was acknowledged"),
            })
        }),
    )
    .await;

    assert_eq!(seen.times(start), [0, 5, 12, 23].map(Duration::from_secs));
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn every_attempt_sees_the_very_same_body_and_attributes() {
    let queue = MemoryQueue::new("jobs");
    let mut message = Message::new("YWJjMTIz");
    message.attributes_mut().insert("encoding", "base64");
    queue.topic().publish(message).await.unwrap();
    let seen = Seen::default();

    let log = seen.clone();
    serve_for(
        server(queue.clone()),
        MINUTE,
        service_fn(move |mut message: Message| {
            log.note(&message);
            // As a decoder does, before its handler fails.
            message.set_body("abc123");
            message.attributes_mut().remove("encoding");
            ready(if log.count() < 3 { Err("failed after decoding") } else { Ok(()) })
        }),
    )
    .await;

    assert_eq!(seen.bodies(), ["YWJjMTIz"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_whose_handlers_all_fail_does_not_deadlock() {
    const CAPACITY: usize = 4;
    let queue = MemoryQueue::builder("jobs").capacity(CAPACITY).build().unwrap();
    publish_numbers(&queue, CAPACITY).await;
    let waiting = tokio::spawn({
        let topic = queue.topic();
        async move { topic.publish("late").await }
    });
    let seen = Seen::default();

    let log = seen.clone();
    let report = serve_for(
        server(queue.clone()).concurrency(CAPACITY),
        MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            let fails = log.count_of(&message) < 3;
            async move {
                sleep(SECOND).await;
                if fails { Err("full") } else { Ok(()) }
            }
        }),
    )
    .await;

    waiting.await.unwrap().expect("room was made for it");
    assert_eq!((report.metrics.acked, report.metrics.retried), (CAPACITY as u64 + 1, 2 * (CAPACITY as u64 + 1)));
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn replicas_do_not_multiply_attempts() {
    const MAX: u32 = 4;
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    publish(&queue, ["poison"]).await;
    let seen = Seen::default();

    let replicas: Vec<_> = (0..6)
        .map(|_| {
            let log = seen.clone();
            tokio::spawn(serve_for(
                server(queue.clone()).max_attempts(MAX),
                MINUTE,
                service_fn(move |message: Message| {
                    log.note(&message);
                    ready(Err::<(), _>("always"))
                }),
            ))
        })
        .collect();
    let mut dead_lettered = 0;
    for replica in replicas {
        dead_lettered += replica.await.unwrap().metrics.dead_lettered;
    }

    assert_eq!(seen.attempts(), [1, 2, 3, 4]);
    assert_eq!((dead_lettered, bodies(&dead)), (1, vec!["poison".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn the_only_attempt_is_not_used_up_by_a_shutdown() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    publish(&queue, ["x"]).await;

    let stuck = service_fn(|_: Message| std::future::pending::<Result<(), BoxError>>());
    let cut = server(queue.clone()).max_attempts(1).grace(SECOND);
    let error = try_serve_for(cut, SECOND, stuck).await.expect_err("the handler is stuck");
    assert_eq!(error.report().metrics.aborted, 1);
    assert!(dead.is_empty());

    let seen = Seen::default();
    let log = seen.clone();
    let report = serve_for(
        server(queue.clone()).max_attempts(1),
        SECOND,
        service_fn(move |message: Message| {
            log.note(&message);
            ready(Ok::<_, BoxError>(()))
        }),
    )
    .await;

    assert_eq!((seen.attempts(), report.metrics.acked), (vec![1], 1), "the peer has the first attempt");
    assert!(dead.is_empty() && queue.is_empty());
}
