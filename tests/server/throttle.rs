//! A handler may have the whole server start nothing new for a time.

use std::future::ready;
use std::time::Duration;

use chappe::{BoxError, Message, Outcome, OutcomeError};
use chappe_memory::MemoryQueue;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn every_worker_pauses_and_the_message_is_not_blamed() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    publish_numbers(&queue, 9).await;
    let (seen, start) = (Seen::default(), Instant::now());

    let log = seen.clone();
    let throttled = server(queue.clone()).concurrency(3).max_attempts(1);
    let report = serve_for(
        throttled,
        5 * MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            let first = log.count() == 1;
            async move {
                sleep(SECOND).await;
                if first { Err(BoxError::from(OutcomeError::throttle(MINUTE, "database is down"))) } else { Ok(()) }
            }
        }),
    )
    .await;

    let times = seen.times(start);
    assert!(times[..3].iter().all(Duration::is_zero), "three ran at first, and were seen through");
    assert!(times[3..].iter().all(|time| *time >= MINUTE + SECOND), "then nothing new for a minute: {times:?}");
    assert_eq!((times[3], seen.count()), (MINUTE + SECOND, 10));
    assert_eq!((report.metrics.throttled, report.metrics.released, report.metrics.acked), (1, 1, 9));
    assert!(seen.attempts().iter().all(|attempt| *attempt == 1) && dead.is_empty());
}

#[tokio::test(start_paused = true)]
async fn throttling_is_found_behind_other_errors() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let (seen, start) = (Seen::default(), Instant::now());

    let log = seen.clone();
    serve_for(
        server(queue),
        5 * MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            let throttle = OutcomeError::throttle(MINUTE, "quota");
            ready(if log.count() == 1 { Err(std::io::Error::other(throttle)) } else { Ok(()) })
        }),
    )
    .await;

    assert_eq!(seen.times(start), [Duration::ZERO, MINUTE]);
}

#[tokio::test(start_paused = true)]
async fn a_longer_pause_counts_and_a_shorter_one_does_not_end_it() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["60", "1"]).await;
    let (seen, start) = (Seen::default(), Instant::now());

    let log = seen.clone();
    serve_for(
        server(queue).concurrency(2),
        5 * MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            let again = log.count() > 2;
            let pause = SECOND * text(&message).parse().unwrap();
            async move {
                sleep(SECOND).await;
                Ok::<_, BoxError>(if again { Outcome::Ack } else { Outcome::Throttle(pause) })
            }
        }),
    )
    .await;

    assert_eq!(seen.times(start)[2..], [61 * SECOND; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_interrupts_the_pause() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 3).await;

    let throttling = service_fn(|_: Message| ready(Ok::<_, BoxError>(Outcome::Throttle(3600 * SECOND))));
    let report = serve_for(server(queue.clone()).concurrency(1).prefetch(1), SECOND, throttling).await;

    assert_eq!((report.drain, report.metrics.throttled), (Duration::ZERO, 1));
    assert_eq!(bodies(&queue), ["0", "1", "2"]);
    assert!(queue.messages().iter().all(|message| message.attempt() == 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_during_the_pause_and_leases_are_kept() {
    let queue = MemoryQueue::builder("jobs").lease(5 * SECOND).build().unwrap();
    publish_numbers(&queue, 4).await;
    let spy = Spy::new(&queue);
    let seen = Seen::default();

    let log = seen.clone();
    let throttled = server(spy.clone()).concurrency(1).prefetch(2);
    let served = spawn(
        throttled,
        service_fn(move |message: Message| {
            log.note(&message);
            ready(Ok::<_, BoxError>(if log.count() == 1 { Outcome::Throttle(MINUTE) } else { Outcome::Ack }))
        }),
    );
    sleep(SECOND).await;
    let fetches = spy.asked().len();
    sleep(MINUTE / 2).await;
    assert_eq!(spy.asked().len(), fetches);
    sleep(MINUTE).await;

    let report = served.stop().await.unwrap();
    assert_eq!((report.metrics.leases_lost, report.metrics.acked, seen.count()), (0, 4, 5));
}
