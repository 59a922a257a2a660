//! Several queues that share the workers of one server by weight.

use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::{BoxError, Message, Server};
use chappe_memory::MemoryQueue;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use crate::support::*;

/// Which queue a message came from.
fn source(message: &Message) -> usize {
    message.source().and_then(|name| name.parse().ok()).expect("queues are named by number")
}

async fn full_queues(weights: &[u32], messages: usize) -> Vec<(MemoryQueue, u32)> {
    let mut queues = Vec::new();
    for (number, weight) in weights.iter().enumerate() {
        let queue = MemoryQueue::new(number.to_string());
        publish_numbers(&queue, messages).await;
        queues.push((queue, *weight));
    }
    queues
}

#[tokio::test(start_paused = true)]
async fn while_all_have_messages_each_has_its_weights_share_within_a_twentieth() {
    let mut random = fastrand::Rng::with_seed(65);
    for round in 0..20 {
        let weights: Vec<u32> = (0..random.usize(1..=5)).map(|_| random.u32(1..=10)).collect();
        let concurrency = random.usize(1..=8);
        // Half of the rounds have handlers that wait, the other half have none that do.
        let time = if round % 2 == 0 { Duration::from_millis(10) } else { Duration::ZERO };
        const HANDLED: usize = 1000;
        let queues = full_queues(&weights, HANDLED).await;
        let handled: Arc<Mutex<Vec<usize>>> = Arc::default();
        let server = Server::weighted(queues).concurrency(concurrency);
        let handle = server.handle();

        let log = Arc::clone(&handled);
        server
            .serve(service_fn(move |message: Message| {
                let mut log = log.lock().unwrap();
                log.push(source(&message));
                if log.len() == HANDLED {
                    handle.shutdown();
                }
                async move {
                    if !time.is_zero() {
                        sleep(time).await;
                    }
                    Ok::<_, BoxError>(())
                }
            }))
            .await
            .unwrap();

        let handled = handled.lock().unwrap();
        let total: u32 = weights.iter().sum();
        for (number, weight) in weights.iter().enumerate() {
            let share = handled[..HANDLED].iter().filter(|source| **source == number).count() as f64 / HANDLED as f64;
            let expected = f64::from(*weight) / f64::from(total);
            assert!(
                (share - expected).abs() < 0.05,
                "round {round}: queue {number} of {weights:?} had {share} at concurrency {concurrency}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_does_not_use_goes_to_the_others_and_idleness_earns_no_credit() {
    let busy = MemoryQueue::new("0");
    let idle = MemoryQueue::new("1");
    publish_numbers(&busy, 2000).await;
    let handled: Arc<Mutex<Vec<usize>>> = Arc::default();

    let (log, late) = (Arc::clone(&handled), idle.clone());
    let both = Server::weighted([(busy.clone(), 1), (idle.clone(), 1)]).concurrency(1);
    serve_for(
        both,
        3600 * SECOND,
        service_fn(move |message: Message| {
            log.lock().unwrap().push(source(&message));
            let count = log.lock().unwrap().len();
            let late = late.clone();
            async move {
                if count == 1000 {
                    publish_numbers(&late, 500).await;
                }
                sleep(Duration::from_millis(1)).await;
                Ok::<_, BoxError>(())
            }
        }),
    )
    .await;

    let handled = handled.lock().unwrap();
    assert_eq!(handled.len(), 2500);
    assert!(handled[..1000].iter().all(|source| *source == 0), "all was left to the busy one");
    let burst = handled[1000..1100].iter().filter(|source| **source == 1).count();
    assert!((45..=55).contains(&burst), "{burst} of the hundred after its return");
}

#[tokio::test(start_paused = true)]
async fn throughput_is_not_bound_to_a_tick() {
    let queues = full_queues(&[1, 2, 3], 5000).await;
    let start = Instant::now();
    let count = Arc::new(AtomicUsize::new(0));
    let server = Server::weighted(queues.clone());
    let handle = server.handle();

    let handled = Arc::clone(&count);
    let report = server
        .serve(service_fn(move |_: Message| {
            if handled.fetch_add(1, Relaxed) + 1 == 15_000 {
                handle.shutdown();
            }
            ready(Ok::<_, BoxError>(()))
        }))
        .await
        .unwrap();

    assert_eq!((report.metrics.acked, start.elapsed()), (15_000, Duration::ZERO), "no timer is waited for");
    assert!(queues.iter().all(|(queue, _)| queue.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_back_what_waited_for_its_turn() {
    let queues = full_queues(&[1, 9], 50).await;

    let both = Server::weighted(queues.clone()).concurrency(3);
    let report = serve_for(both, SECOND, takes(5 * SECOND)).await;

    let left: usize = queues.iter().map(|(queue, _)| queue.len()).sum();
    assert_eq!((report.metrics.acked, left), (3, 97));
    assert!(report.metrics.released > 0 && report.metrics.fetched <= 13, "{report}");
    let untouched = |message: &Message| message.attempt() == 0;
    assert!(queues.iter().all(|(queue, _)| queue.messages().iter().all(untouched)));
}

#[tokio::test(start_paused = true)]
async fn each_queue_settles_its_own_messages() {
    let dead = MemoryQueue::new("dead");
    let one = MemoryQueue::builder("0").dead_letter(&dead).build().unwrap();
    let two = MemoryQueue::new("1");
    publish(&one, ["poison", "fine"]).await;
    publish(&two, ["poison", "fine"]).await;

    let both = Server::weighted([(one.clone(), 1), (two.clone(), 1)]).max_attempts(1);
    let report = serve_for(
        both,
        SECOND,
        service_fn(|message: Message| ready(if text(&message) == "poison" { Err("poison") } else { Ok(()) })),
    )
    .await;

    assert_eq!((report.metrics.acked, report.metrics.dead_lettered), (2, 1));
    assert!(report.metrics.retried >= 1);
    assert_eq!((bodies(&dead), one.len(), bodies(&two)), (vec!["poison".to_owned()], 0, vec!["poison".to_owned()]));
}
