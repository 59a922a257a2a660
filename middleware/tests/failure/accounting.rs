//! Whatever goes wrong, nothing is lost: accepted = acknowledged + dead + queued.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::{BoxError, Message, Topic};
use chappe_memory::{Chance, MemoryQueue};
use chappe_middleware::breaker::BreakerLayer;
use chappe_middleware::catch_panic::CatchPanicLayer;
use chappe_middleware::chaos::ChaosLayer;
use chappe_middleware::dead_letter::{self, DeadLetterLayer};
use chappe_middleware::rate_limit::RateLimitLayer;
use chappe_middleware::retry::{RetryLayer, RetryPolicy};
use chappe_middleware::timeout::TimeoutLayer;
use tower::{ServiceBuilder, service_fn};

use crate::support::*;

const SEEDS: u64 = 60;
const MESSAGES: usize = 40;

#[tokio::test(start_paused = true)]
async fn accepted_is_acknowledged_and_dead_and_queued_for_every_seed() {
    for seed in 0..SEEDS {
        run(seed).await;
    }
}

async fn run(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let queue = MemoryQueue::builder("jobs").lease(10 * SECOND).build().unwrap();
    let dead = MemoryQueue::new("dead");
    let accepted = publish_through_chaos(seed, &queue).await;
    dead.faults().random(Chance::seeded(seed).publish(0.3).lost_receipt(0.1));
    let handled = Arc::new(Mutex::new(BTreeSet::new()));

    let log = Arc::clone(&handled);
    let handler = service_fn(move |message: Message| {
        let log = Arc::clone(&log);
        async move {
            let body = text(&message);
            // Some can never be handled.
            if body.ends_with('7') {
                return Err(failure("it ends with a seven"));
            }
            log.lock().unwrap().insert(body);
            Ok::<_, BoxError>(())
        }
    });
    let retries = RetryPolicy::exponential(Duration::from_millis(5), Duration::from_millis(50)).max_attempts(2);
    let receiver = ServiceBuilder::new()
        .layer(RateLimitLayer::new(200, SECOND).burst(10))
        .layer(DeadLetterLayer::new(dead.topic()).max_attempts(4))
        .layer(BreakerLayer::share(0.9, 10).open_for(SECOND))
        .layer(RetryLayer::new(retries))
        .layer(TimeoutLayer::new(SECOND))
        .layer(CatchPanicLayer::new())
        .layer(ChaosLayer::seeded(seed).fail_before(0.2).fail_after(0.1).panic(0.1).delay(0.3, 2 * SECOND))
        .service(handler);
    let stopped_midway = Duration::from_millis(random.u64(0..20_000));
    // A lost answer has been handled all the same, so some end in both: that is at least once.
    let report = serve_for(server(queue.clone()).concurrency(random.usize(1..8)), stopped_midway, receiver).await;

    let queued: BTreeSet<String> = bodies(&queue).into_iter().collect();
    let letters: BTreeSet<String> = bodies(&dead).into_iter().collect();
    let handled = handled.lock().unwrap().clone();
    let ended: BTreeSet<String> = handled.union(&letters).cloned().collect();
    let everywhere: BTreeSet<String> = ended.union(&queued).cloned().collect();
    assert_eq!(everywhere, accepted, "seed {seed}: nothing is lost and nothing is made up");
    let gone = accepted.len() - queued.len();
    assert_eq!(report.metrics.acked as usize, gone, "seed {seed}: each is acknowledged once");
    assert!(letters.iter().chain(&handled).collect::<BTreeSet<_>>().len() >= gone, "seed {seed}");
    assert!(dead.messages().iter().all(|letter| dead_letter::read(letter).is_some()), "seed {seed}");
}

/// Publishes through a topic that fails, and answers with what the queue then holds: all that was accepted,
/// and what was although its receipt was lost.
async fn publish_through_chaos(seed: u64, queue: &MemoryQueue) -> BTreeSet<String> {
    let retries = RetryPolicy::exponential(Duration::from_millis(5), Duration::from_millis(50)).max_attempts(5);
    let topic = ServiceBuilder::new()
        .layer(RetryLayer::new(retries))
        .layer(CatchPanicLayer::new())
        .layer(ChaosLayer::seeded(!seed).fail_before(0.2).fail_after(0.1).panic(0.05).delay(0.2, SECOND))
        .service(queue.topic());
    let results = topic.publish_all((0..MESSAGES).map(|number| number.to_string())).await;

    let mut counts = BTreeMap::new();
    bodies(queue).into_iter().for_each(|body| *counts.entry(body).or_insert(0) += 1);
    for (number, result) in results.iter().enumerate() {
        let count = counts.get(&number.to_string()).copied().unwrap_or(0);
        match result {
            Ok(_) => assert_eq!(count, 1, "seed {seed}: {number} was accepted once"),
            Err(error) => assert!(count <= usize::from(error.is_ambiguous()), "seed {seed}: {number}: {error:?}"),
        }
    }
    counts.into_keys().collect()
}
