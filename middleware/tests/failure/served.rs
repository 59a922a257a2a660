//! The layers around what a server serves: what it takes, what it fetches, and how it ends.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chappe::backend::Queue;
use chappe::{BoxError, Message, Outcome};
use chappe_memory::MemoryQueue;
use chappe_middleware::breaker::{BreakerLayer, BreakerState};
use chappe_middleware::catch_panic::CatchPanicLayer;
use chappe_middleware::chaos::ChaosLayer;
use chappe_middleware::dead_letter::DeadLetterLayer;
use chappe_middleware::ignore_errors::IgnoreErrorsLayer;
use chappe_middleware::rate_limit::RateLimitLayer;
use chappe_middleware::retry::{RetryLayer, RetryPolicy};
use chappe_middleware::timeout::TimeoutLayer;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceBuilder, service_fn};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn an_open_breaker_stops_a_server_from_taking_messages_and_from_fetching_more_than_it_has_handlers() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 100).await;
    let (seen, down) = (Seen::default(), Arc::new(AtomicBool::new(true)));
    let layer = BreakerLayer::consecutive(3).open_for(10 * SECOND);
    let breaker = layer.handle();

    let (log, is_down) = (seen.clone(), Arc::clone(&down));
    let receiver = layer.layer(service_fn(move |message: Message| {
        log.note(&message);
        let failed = is_down.load(Ordering::Relaxed);
        async move { if failed { Err(failure("database is gone")) } else { Ok(()) } }
    }));
    let server = server(queue.clone()).concurrency(4);
    let handle = server.handle();
    let serving = tokio::spawn(server.serve(receiver).into_future());

    sleep(SECOND / 2).await;
    assert_eq!((breaker.state(), seen.count()), (BreakerState::Open, 3));
    sleep(9 * SECOND).await;
    assert_eq!(seen.count(), 3, "nothing is taken while it is open");
    let fetched = handle.metrics().fetched;
    assert!(fetched <= 3 + 4, "{fetched} fetched: three that failed, and one for each handler");
    sleep(SECOND).await;
    assert_eq!((breaker.state(), seen.count()), (BreakerState::Open, 4), "one is tried");
    down.store(false, Ordering::Relaxed);
    sleep(MINUTE).await;
    assert_eq!((breaker.state(), queue.len()), (BreakerState::Closed, 0));

    handle.shutdown();
    let report = serving.await.unwrap().unwrap();
    assert_eq!((report.metrics.acked, report.metrics.errors, report.metrics.retried), (100, 4, 4));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_breaker_or_a_limit_and_blames_no_message() {
    for which in ["open", "tripped", "limit"] {
        let queue = MemoryQueue::builder("jobs").lease(10 * SECOND).build().unwrap();
        publish_numbers(&queue, 100).await;
        let breaker = BreakerLayer::consecutive(1).open_for(60 * MINUTE);
        let handle = breaker.handle();
        if which == "tripped" {
            handle.trip();
        }
        let per = if which == "limit" { 60 * MINUTE } else { Duration::ZERO };
        let receiver = ServiceBuilder::new()
            .layer(RateLimitLayer::new(1, per))
            .layer(breaker)
            .service(script(&Seen::default(), |_| Err::<Outcome, _>("down")));

        // Longer than a lease: what waits has it renewed.
        let start = Instant::now();
        let report = serve_for(server(queue.clone()).concurrency(4), MINUTE, receiver).await;

        assert_eq!(start.elapsed(), MINUTE, "{which}: the shutdown is prompt");
        assert_eq!((queue.len(), report.metrics.aborted, report.metrics.leases_lost), (100, 0, 0), "{which}");
        assert_eq!(queue.depth().await.unwrap().in_flight, 0, "{which}: everything went back");
        let failed = u32::from(which != "tripped");
        assert_eq!(report.metrics.errors, u64::from(failed), "{which}");
        let attempts: u32 = first_attempts(&queue).await;
        assert_eq!(attempts, 100 + failed, "{which}: only what was handled counts as tried");
    }
}

/// The sum of the attempts with which all messages are delivered next.
async fn first_attempts(queue: &MemoryQueue) -> u32 {
    let seen = Seen::default();
    serve_for(server(queue.clone()), MINUTE, script(&seen, |_| Ok::<_, BoxError>(Outcome::Ack))).await;
    seen.attempts().iter().sum()
}

#[tokio::test(start_paused = true)]
async fn a_server_keeps_to_a_limit_with_many_handlers_and_few_messages() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 10).await;
    let (seen, start) = (Seen::default(), Instant::now());

    // Idle handlers ask for tokens too, and must not keep them.
    let receiver = RateLimitLayer::new(1, SECOND).layer(script(&seen, |_| Ok::<_, BoxError>(Outcome::Ack)));
    let serving = tokio::spawn(serve_for(server(queue.clone()).concurrency(16), 2 * MINUTE, receiver));
    sleep(9 * SECOND + Duration::from_millis(1)).await;
    assert_eq!((seen.count(), queue.len()), (10, 0), "after {:?}", start.elapsed());
    sleep(20 * SECOND).await;
    publish(&queue, ["late", "later"]).await;
    sleep(SECOND + Duration::from_millis(1)).await;

    assert_eq!((seen.count(), queue.len()), (12, 0));
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_receiver_within_all_layers_is_given_the_same_message_at_every_attempt() {
    let (queue, dead) = (MemoryQueue::new("jobs"), MemoryQueue::new("dead"));
    let mut message = Message::new("the very same");
    message.attributes_mut().insert("type", "order");
    message.set_key("key");
    chappe::Topic::publish(&queue.topic(), message).await.unwrap();
    let seen = Seen::default();

    let log = seen.clone();
    let handler = service_fn(move |mut message: Message| {
        log.note(&message);
        // What one attempt does to its message is not seen by the next.
        message.set_body("spoilt");
        message.attributes_mut().clear();
        async move { if true { Err::<(), _>(failure("broken")) } else { Ok(()) } }
    });
    let in_a_moment = RetryPolicy::exponential(Duration::from_millis(1), Duration::from_millis(1)).max_attempts(3);
    let receiver = ServiceBuilder::new()
        .layer(RateLimitLayer::new(100, SECOND).burst(100))
        .layer(DeadLetterLayer::new(dead.topic()).max_attempts(5))
        .layer(BreakerLayer::consecutive(1000))
        .layer(IgnoreErrorsLayer::new("none", |_| false))
        .layer(RetryLayer::new(in_a_moment))
        .layer(TimeoutLayer::from_lease(0.8))
        .layer(CatchPanicLayer::new())
        .layer(ChaosLayer::seeded(1).delay(1.0, Duration::from_millis(10)))
        .service(handler);
    let report = serve_for(server(queue.clone()), MINUTE, receiver).await;

    assert_eq!(seen.bodies(), vec!["the very same"; 15], "five attempts of three");
    assert_eq!(seen.attempts(), [1, 2, 3, 4, 5].map(|attempt| [attempt; 3]).concat());
    assert_eq!((report.metrics.acked, report.metrics.retried, queue.len()), (1, 4, 0));
    let letter = &dead.messages()[0];
    assert_eq!((text(letter).as_str(), letter.attributes().get_str("type")), ("the very same", Some("order")));
    assert_eq!(letter.key().unwrap().as_str(), Some("key"));
}
