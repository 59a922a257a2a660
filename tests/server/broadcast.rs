//! Serving a subscription to a broadcast.

use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::backend::SubscribeOptions;
use chappe::server::{Backoff, Subscribed};
use chappe::{ErrorKind, Message, Outcome, Server};
use tokio::time::{Instant, sleep};
use tower::service_fn;

use crate::support::*;

fn subscribed(bus: &Bus) -> Subscribed<Bus> {
    Subscribed::new(bus.clone(), "news", SubscribeOptions::new())
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_is_kept_and_tried_again_here() {
    let bus = Bus::new();
    bus.say("bad");
    bus.say("good");
    let (seen, start) = (Seen::default(), Instant::now());

    let log = seen.clone();
    let report = serve_for(
        server(subscribed(&bus)),
        MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            ready(if text(&message) == "bad" && log.count_of(&message) < 3 { Err("not yet") } else { Ok(()) })
        }),
    )
    .await;

    assert_eq!(seen.bodies(), ["bad", "good", "bad", "bad"]);
    assert_eq!(seen.times(start), [0, 0, 1, 2].map(Duration::from_secs));
    assert_eq!(seen.attempts(), [0, 0, 2, 3], "the bus does not count, the server does");
    assert_eq!((report.metrics.acked, report.metrics.retried, bus.dropped()), (2, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_to_be_retried_at_once_goes_through_the_queue_again() {
    let bus = Bus::new();
    bus.say("bad");
    let (seen, start) = (Seen::default(), Instant::now());

    let log = seen.clone();
    let no_backoff = Server::new(subscribed(&bus)).backoff(Backoff::none());
    let report = serve_for(
        no_backoff,
        MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            ready(if log.count() < 5 { Err("not yet") } else { Ok(()) })
        }),
    )
    .await;

    assert_eq!((seen.attempts(), report.metrics.acked), (vec![0, 2, 3, 4, 5], 1));
    assert!(seen.times(start).iter().all(Duration::is_zero));
}

#[tokio::test(start_paused = true)]
async fn messages_that_fail_for_good_are_kept_unless_told_otherwise() {
    for discard in [false, true] {
        let bus = Bus::new();
        bus.say("poison");
        bus.say("rejected");
        let seen = Seen::default();

        let log = seen.clone();
        let queue = if discard { subscribed(&bus).discard_failed() } else { subscribed(&bus) };
        let limited = Server::new(queue).backoff(Backoff::fixed(SECOND)).max_attempts(3);
        let report = serve_for(
            limited,
            10 * SECOND - SECOND / 2,
            service_fn(move |message: Message| {
                log.note(&message);
                ready(if text(&message) == "poison" { Err("poison") } else { Ok(Outcome::reject("bad")) })
            }),
        )
        .await;

        let expected = if discard { (3 + 1, 2, 0) } else { (10 + 10, 0, 2) };
        assert_eq!((seen.count(), report.metrics.dead_lettered, report.metrics.released), expected, "{discard}");
        assert_eq!(bus.dropped(), 2, "gone in the end, and counted");
    }
}

#[tokio::test(start_paused = true)]
async fn missed_messages_are_told() {
    let bus = Bus::new();
    let missed: Arc<Mutex<Vec<Option<u64>>>> = Arc::default();
    bus.say("one");
    bus.lag(7);
    bus.say("two");
    bus.gap();
    let seen = Seen::default();

    let log = Arc::clone(&missed);
    let queue = subscribed(&bus).on_missed(move |count| log.lock().unwrap().push(count));
    let report = serve_for(server(queue), MINUTE, notes(&seen, Duration::ZERO)).await;

    assert_eq!(seen.bodies(), ["one", "two"]);
    assert_eq!((missed.lock().unwrap().clone(), report.metrics.fetched), (vec![Some(7), None], 2));
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_is_disconnected_subscribes_anew_and_is_told() {
    let bus = Bus::new();
    let missed: Arc<Mutex<Vec<Option<u64>>>> = Arc::default();
    bus.say("before");
    bus.fail(ErrorKind::Unavailable);
    bus.say("after");
    let seen = Seen::default();

    let log = Arc::clone(&missed);
    let queue = subscribed(&bus).on_missed(move |count| log.lock().unwrap().push(count));
    let report = serve_for(server(queue), MINUTE, notes(&seen, Duration::ZERO)).await;

    assert_eq!((seen.bodies(), bus.subscribed()), (vec!["before".to_owned(), "after".to_owned()], 2));
    assert_eq!((missed.lock().unwrap().clone(), report.metrics.fetch_errors), (vec![None], 1));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_ends_for_good_ends_serving() {
    let bus = Bus::new();
    bus.fail(ErrorKind::Closed);

    let error = server(subscribed(&bus)).serve(never_ends()).await.unwrap_err();

    assert_eq!(error.fatal_error().map(chappe::Error::kind), Some(ErrorKind::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_does_not_hold_up_the_others() {
    let bus = Bus::new();
    bus.say("bad");
    let seen = Seen::default();
    let log = seen.clone();
    let one_worker = Server::new(subscribed(&bus)).backoff(Backoff::fixed(MINUTE)).concurrency(1);
    let served = spawn(
        one_worker,
        service_fn(move |message: Message| {
            log.note(&message);
            ready(if text(&message) == "bad" { Err("always") } else { Ok(()) })
        }),
    );
    sleep(SECOND).await;

    for body in ["a", "b", "c"] {
        bus.say(body);
        sleep(SECOND).await;
    }

    assert_eq!(seen.bodies(), ["bad", "a", "b", "c"], "its worker is free for the minute it waits");
    served.stop().await.unwrap();
}
