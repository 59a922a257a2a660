//! Lanes: messages of one key in order, those of others past them.

use std::future::ready;
use std::time::Duration;

use chappe::backend::{Delay, Order};
use chappe::server::Lanes;
use chappe::{BoxError, Message, Outcome, Topic};
use chappe_memory::MemoryQueue;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use crate::support::*;

/// A queue that keeps no order by itself.
fn queue() -> MemoryQueue {
    MemoryQueue::builder("jobs").ordered(false).build().unwrap()
}

async fn publish_keyed(queue: &MemoryQueue, messages: &[(&'static str, &str)]) {
    for (key, body) in messages {
        queue.topic().publish(keyed(key, *body)).await.unwrap();
    }
}

/// The bodies seen of one key, in order.
fn of(seen: &Seen, key: &str) -> Vec<String> {
    seen.bodies().into_iter().filter(|body| body.starts_with(key)).collect()
}

#[tokio::test(start_paused = true)]
async fn one_of_a_key_runs_at_a_time_in_order_and_keys_run_side_by_side() {
    for lanes in [Lanes::Passing, Lanes::Ordered] {
        let queue = queue();
        for number in 0..10 {
            publish_keyed(&queue, &[("a", &format!("a{number}")), ("b", &format!("b{number}"))]).await;
        }
        let (seen, gauges) = (Seen::default(), [Gauge::default(), Gauge::default()]);
        let start = Instant::now();

        let (log, watched) = (seen.clone(), gauges.clone());
        let ordered = server(queue.clone()).concurrency(20).lanes(lanes);
        let report = serve_for(
            ordered,
            MINUTE,
            service_fn(move |message: Message| {
                log.note(&message);
                let entered = watched[usize::from(message.key().unwrap().as_str() == Some("b"))].enter();
                // The later, the faster: they would overtake each other.
                let time = SECOND / (1 + text(&message)[1..].parse::<u32>().unwrap());
                async move {
                    let _entered = entered;
                    sleep(time).await;
                    Ok::<_, BoxError>(())
                }
            }),
        )
        .await;

        assert_eq!(report.metrics.acked, 20);
        assert_eq!(gauges.map(|gauge| gauge.most()), [1, 1]);
        for key in ["a", "b"] {
            assert_eq!(of(&seen, key), (0..10).map(|number| format!("{key}{number}")).collect::<Vec<_>>());
        }
        assert!(*seen.times(start).last().unwrap() < 3 * SECOND, "both keys at the same time");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_without_a_key_are_not_ordered() {
    let queue = queue();
    publish_numbers(&queue, 8).await;
    let (seen, start) = (Seen::default(), Instant::now());

    serve_for(server(queue).concurrency(8).lanes(Lanes::Ordered), MINUTE, notes(&seen, SECOND)).await;

    assert!(seen.times(start).iter().all(Duration::is_zero), "all at once");
}

#[tokio::test(start_paused = true)]
async fn ordered_lanes_keep_their_order_through_retries() {
    let queue = queue();
    publish_keyed(&queue, &[("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")]).await;
    let (seen, start) = (Seen::default(), Instant::now());

    let log = seen.clone();
    let report = serve_for(
        server(queue.clone()).lanes(Lanes::Ordered),
        MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            ready(if text(&message) == "a1" && log.count_of(&message) < 4 { Err("stuck") } else { Ok(()) })
        }),
    )
    .await;

    assert_eq!(of(&seen, "a"), ["a1", "a1", "a1", "a1", "a2", "a3"]);
    assert_eq!(seen.bodies().iter().position(|body| body == "b1"), Some(1), "another key does not wait");
    assert_eq!(*seen.times(start).last().unwrap(), 3 * SECOND);
    assert_eq!((report.metrics.fetched, report.metrics.retried, report.metrics.acked), (4, 3, 4), "it stayed here");
}

#[tokio::test(start_paused = true)]
async fn attempts_made_here_count_and_a_dead_letter_opens_the_lane() {
    let dead = MemoryQueue::new("dead");
    let queue = MemoryQueue::builder("jobs").ordered(false).dead_letter(&dead).build().unwrap();
    publish_keyed(&queue, &[("a", "a1"), ("a", "a2")]).await;
    let seen = Seen::default();

    let log = seen.clone();
    let ordered = server(queue.clone()).lanes(Lanes::Ordered).max_attempts(3);
    let report = serve_for(
        ordered,
        MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            ready(if text(&message) == "a1" { Err("poison") } else { Ok(()) })
        }),
    )
    .await;

    assert_eq!(
        (seen.bodies(), seen.attempts()),
        (["a1", "a1", "a1", "a2"].map(str::to_owned).into(), vec![1, 2, 3, 1])
    );
    assert_eq!((report.metrics.dead_lettered, report.metrics.acked), (1, 1));
    assert_eq!(bodies(&dead), ["a1"]);
}

#[tokio::test(start_paused = true)]
async fn a_held_message_keeps_its_lease_between_attempts() {
    let queue = MemoryQueue::builder("jobs").ordered(false).lease(5 * SECOND).build().unwrap();
    publish_keyed(&queue, &[("a", "a1")]).await;
    let seen = Seen::default();

    let log = seen.clone();
    let report = serve_for(
        server(queue.clone()).lanes(Lanes::Ordered),
        5 * MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            ready(Ok::<_, BoxError>(if log.count() < 3 { Outcome::RetryAfter(MINUTE) } else { Outcome::Ack }))
        }),
    )
    .await;

    assert_eq!((report.metrics.fetched, report.metrics.leases_lost, seen.count()), (1, 0, 3));
}

#[tokio::test(start_paused = true)]
async fn passing_lanes_let_followers_pass_a_message_that_failed() {
    let queue = queue();
    publish_keyed(&queue, &[("a", "a1"), ("a", "a2"), ("a", "a3")]).await;
    let seen = Seen::default();

    let log = seen.clone();
    let report = serve_for(
        server(queue.clone()).lanes(Lanes::Passing),
        MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            ready(if text(&message) == "a1" && log.count_of(&message) == 1 { Err("later") } else { Ok(()) })
        }),
    )
    .await;

    assert_eq!(seen.bodies(), ["a1", "a2", "a3", "a1"]);
    assert_eq!((report.metrics.fetched, report.metrics.acked), (4, 3), "it went back to the broker");
}

#[tokio::test(start_paused = true)]
async fn a_retry_held_here_runs_beside_no_other_of_its_key() {
    let queue = queue();
    publish_keyed(&queue, &[("a", "a1"), ("a", "a2"), ("a", "a3")]).await;
    // A queue that cannot put off a retry has the server hold it.
    let spy = Spy::new(&queue).with(|capabilities| capabilities.retry_delay = Delay::None);
    let (seen, running) = (Seen::default(), Gauge::default());

    let (log, gauge) = (seen.clone(), running.clone());
    let report = serve_for(
        server(spy).lanes(Lanes::Passing),
        MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            let entered = gauge.enter();
            let fails = text(&message) == "a1" && log.count_of(&message) == 1;
            async move {
                let _entered = entered;
                sleep(SECOND * 3 / 4).await;
                if fails { Err("later") } else { Ok(()) }
            }
        }),
    )
    .await;

    assert_eq!((running.most(), report.metrics.acked, report.metrics.fetched), (1, 3, 3));
    assert_eq!(seen.sorted(), ["a1", "a1", "a2", "a3"]);
}

#[tokio::test(start_paused = true)]
async fn other_keys_progress_while_one_is_stuck() {
    let queue = queue();
    publish_keyed(&queue, &[("a", "a1"), ("a", "a2"), ("a", "a3")]).await;
    for number in 0..50 {
        publish_keyed(&queue, &[("b", &format!("b{number}"))]).await;
    }
    let (seen, start) = (Seen::default(), Instant::now());

    let log = seen.clone();
    let report = serve_for(
        server(queue.clone()).concurrency(4).lanes(Lanes::Ordered),
        2 * MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            let stuck = text(&message) == "a1";
            async move {
                sleep(if stuck { MINUTE } else { SECOND / 10 }).await;
                Ok::<_, BoxError>(())
            }
        }),
    )
    .await;

    assert_eq!(report.metrics.acked, 53);
    assert_eq!(of(&seen, "b").len(), 50);
    assert_eq!(seen.bodies()[51..], ["a2", "a3"], "the stuck key comes last");
    assert!(seen.times(start)[50] < 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn followers_of_a_busy_key_are_released_on_shutdown_in_their_order() {
    let queue = queue();
    publish_keyed(&queue, &[("a", "a1"), ("a", "a2"), ("a", "a3"), ("a", "a4")]).await;

    let stopping = server(queue.clone()).concurrency(4).lanes(Lanes::Ordered);
    let report = serve_for(stopping, SECOND, takes(5 * SECOND)).await;

    assert_eq!((report.metrics.acked, report.metrics.released), (1, 3));
    assert_eq!(bodies(&queue), ["a2", "a3", "a4"]);
    assert!(queue.messages().iter().all(|message| message.attempt() == 0));
}

#[tokio::test(start_paused = true)]
async fn the_lane_the_broker_names_counts_for_more_than_the_key() {
    let queue = queue();
    publish_keyed(&queue, &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]).await;
    let spy = Spy::new(&queue).lanes(|_| Some(7));
    let (seen, start) = (Seen::default(), Instant::now());

    serve_for(server(spy).lanes(Lanes::Ordered), MINUTE, notes(&seen, SECOND)).await;

    assert_eq!(seen.bodies(), ["1", "2", "3", "4"]);
    assert_eq!(seen.times(start), [0, 1, 2, 3].map(Duration::from_secs));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_keeps_a_lane_closed_is_given_the_retry_and_order_holds_across_servers() {
    let queue = MemoryQueue::new("jobs");
    for body in ["a1", "a2", "a3"] {
        queue.topic().publish(keyed("a", body)).await.unwrap();
    }
    let seen = Seen::default();
    let receiver = |log: Seen| {
        service_fn(move |message: Message| {
            log.note(&message);
            ready(if text(&message) == "a1" && log.count_of(&message) < 3 { Err("stuck") } else { Ok(()) })
        })
    };

    let spy = Spy::new(&queue).with(|capabilities| capabilities.order = Order::LaneExclusive);
    let (one, two) = tokio::join!(
        serve_for(server(spy.clone()).lanes(Lanes::Ordered), MINUTE, receiver(seen.clone())),
        serve_for(server(spy).lanes(Lanes::Ordered), MINUTE, receiver(seen.clone())),
    );

    assert_eq!(seen.bodies(), ["a1", "a1", "a1", "a2", "a3"]);
    assert_eq!(seen.attempts(), [1, 2, 3, 1, 1]);
    assert_eq!((one.metrics.acked + two.metrics.acked, one.metrics.retried + two.metrics.retried), (3, 2));
}
