use std::time::Duration;

use chappe::{BoxError, Error, ErrorKind, Message, Topic};
use chappe_memory::MemoryQueue;
use chappe_middleware::catch_panic::CatchPanicLayer;
use chappe_middleware::chaos::ChaosLayer;
use tokio::time::Instant;
use tower::{Layer, ServiceBuilder, service_fn};

use crate::support::*;

/// What a hundred calls answer and how long each takes.
async fn run(layer: ChaosLayer) -> Vec<(bool, Duration)> {
    let receiver = layer.layer(service_fn(async |_: Message| Ok::<_, BoxError>(())));
    let mut run = Vec::new();
    for _ in 0..100 {
        let start = Instant::now();
        let failed = answer(&receiver, "x").await.is_err();
        run.push((failed, start.elapsed()));
    }
    run
}

#[tokio::test(start_paused = true)]
async fn a_seed_repeats_a_run() {
    let chaos = |seed| ChaosLayer::seeded(seed).fail_before(0.2).fail_after(0.2).delay(0.5, SECOND);

    let (one, again, other) = (run(chaos(1)).await, run(chaos(1)).await, run(chaos(2)).await);

    assert_eq!(one, again);
    assert_ne!(one, other);
    assert!(one.iter().all(|(_, took)| *took <= SECOND + Duration::from_millis(1)));
}

#[tokio::test(start_paused = true)]
async fn without_odds_it_does_nothing() {
    assert!(run(ChaosLayer::seeded(1)).await.iter().all(|(failed, took)| !failed && took.is_zero()));
}

#[tokio::test]
async fn what_fails_before_is_not_called_and_what_fails_after_is() {
    for (layer, calls, ambiguous) in
        [(ChaosLayer::seeded(1).fail_before(1.0), 0, false), (ChaosLayer::seeded(1).fail_after(1.0), 1, true)]
    {
        let queue = MemoryQueue::new("jobs");
        let topic = is_topic(layer.layer(queue.topic()));

        let error: Error = topic.publish("x").await.unwrap_err();

        assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Unavailable, ambiguous));
        assert_eq!(queue.len(), calls);
    }
}

#[tokio::test]
async fn a_panic_can_be_caught() {
    let receiver = ServiceBuilder::new()
        .layer(CatchPanicLayer::new())
        .layer(ChaosLayer::seeded(1).panic(1.0))
        .service(service_fn(async |_: Message| Ok::<_, BoxError>(())));

    assert!(answer(&receiver, "x").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_delayed_call_is_made_on_the_service_that_was_ready() {
    let (mut service, mut handle) = stepped(ChaosLayer::seeded(3).delay(1.0, SECOND));
    handle.allow(1);

    let mut delayed = call(&mut service, "x");
    tokio_test::assert_pending!(delayed.poll());
    tokio_test::assert_pending!(handle.poll_request());
    tokio::time::advance(SECOND).await;
    tokio_test::assert_pending!(delayed.poll());

    assert!(handle.next_request().await.is_some(), "a clone that was not ready would have panicked");
}
