//! Settling: told again until it got through, in few calls, and never to a newer delivery.

use std::future::ready;
use std::time::Duration;

use chappe::backend::{Action, DeadLetter};
use chappe::{BoxError, ErrorKind, Message, Outcome};
use chappe_memory::MemoryQueue;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_repeated_until_it_succeeds() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    queue.faults().fail_next_settles(4, ErrorKind::Unavailable);
    let seen = Seen::default();

    let report = serve_for(server(queue.clone()), MINUTE, notes(&seen, Duration::ZERO)).await;

    assert_eq!((seen.count(), report.metrics.acked, report.metrics.settle_retries), (1, 1, 4));
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_a_call_that_succeeds_in_part_only_the_rest_is_repeated() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 10).await;
    queue.faults().fail_settle_entries(3);
    let spy = Spy::new(&queue);
    let seen = Seen::default();

    let report = serve_for(server(spy.clone()), MINUTE, notes(&seen, Duration::ZERO)).await;

    assert_eq!((seen.count(), report.metrics.acked, report.metrics.settle_retries), (10, 10, 3));
    assert_eq!(spy.calls().iter().sum::<usize>(), 13);
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stale_receipt_is_lost_and_touches_no_newer_delivery() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    queue.faults().duplicate_next(1);
    let seen = Seen::default();

    let log = seen.clone();
    let report = serve_for(
        server(queue.clone()),
        MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            async move {
                // The first delivery is acknowledged while the second is being handled.
                sleep(SECOND * message.attempt()).await;
                if message.attempt() == 2 { Err("the newer one fails") } else { Ok(()) }
            }
        }),
    )
    .await;

    assert_eq!(report.metrics.lost, 1);
    assert!(queue.is_empty());
    assert_eq!(report.metrics.acked, 1, "by the delivery that came last, as only that one could");
    assert_eq!(seen.attempts(), [1, 2], "what was handled is not handled again");
    assert_eq!(report.metrics.acked_again, 1);
}

#[tokio::test(start_paused = true)]
async fn an_ack_whose_reply_is_lost_is_not_an_error() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 3).await;
    queue.faults().lose_next_settles(1);
    let seen = Seen::default();

    let report = serve_for(server(queue.clone()), MINUTE, notes(&seen, Duration::ZERO)).await;

    assert_eq!((seen.count(), queue.len()), (3, 0));
    // One of three, as a queue in this process is told of each as it is handled.
    assert_eq!((report.metrics.acked, report.metrics.lost, report.metrics.settle_retries), (2, 1, 1));
    assert!(report.is_clean());
}

#[tokio::test(start_paused = true)]
async fn an_ack_that_never_got_through_is_remembered_beyond_the_lease() {
    let queue = MemoryQueue::builder("jobs").lease(5 * SECOND).build().unwrap();
    publish(&queue, ["x"]).await;
    // The broker hears nothing for well over a lease, and fetching goes on.
    let start = Instant::now();
    let spy = Spy::new(&queue).on_settle(move |_| {
        if start.elapsed() < 12 * SECOND { Reply::Fail(ErrorKind::Unavailable) } else { Reply::Pass }
    });
    let seen = Seen::default();

    let report = serve_for(server(spy), 2 * MINUTE, notes(&seen, Duration::ZERO)).await;

    assert_eq!(seen.count(), 1, "every redelivery is acknowledged and not handled");
    assert!(report.metrics.acked_again >= 1 && queue.is_empty());
    assert_eq!(report.metrics.acked, 1);
}

#[tokio::test(start_paused = true)]
async fn a_settlement_no_retry_can_mend_is_given_up_and_counted() {
    let queue = MemoryQueue::builder("jobs").lease(5 * SECOND).build().unwrap();
    publish(&queue, ["x"]).await;
    let mut refused = false;
    let spy = Spy::new(&queue).on_settle(move |_| {
        if std::mem::replace(&mut refused, true) { Reply::Pass } else { Reply::Fail(ErrorKind::PermissionDenied) }
    });
    let seen = Seen::default();

    let report = serve_for(server(spy), MINUTE, notes(&seen, Duration::ZERO)).await;

    assert_eq!((report.metrics.unsettled, report.metrics.settle_retries), (1, 0));
    assert_eq!((seen.count(), report.metrics.acked_again, report.metrics.acked), (1, 1, 1), "it came again");
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_cannot_be_stored_stays_where_it_is() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    publish(&queue, ["x"]).await;
    let mut refused = 0;
    let spy = Spy::new(&queue).on_settle(move |entry| {
        let refuse = matches!(entry.action, Action::DeadLetter { .. }) && refused < 2;
        refused += u32::from(refuse);
        if refuse { Reply::Fail(ErrorKind::TooLarge) } else { Reply::Pass }
    });

    let rejecting = service_fn(|_: Message| ready(Ok::<_, BoxError>(Outcome::reject("bad"))));
    let report = serve_for(server(spy), MINUTE, rejecting).await;

    assert_eq!((report.metrics.dead_lettered, report.metrics.retried, queue.len()), (1, 2, 0));
    let letter = dead.messages()[0].extensions().get::<DeadLetter>().cloned().unwrap();
    assert_eq!((&*letter.reason, letter.attempts), ("bad", 3));
}

#[tokio::test(start_paused = true)]
async fn settlements_are_collected_into_few_calls_of_the_size_the_queue_takes() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 100).await;
    let spy =
        Spy::new(&queue).with(|capabilities| capabilities.max_settle_batch = 10).on_settle(|_| Reply::Late(SECOND));

    let report = serve_for(server(spy.clone()).concurrency(100), MINUTE, takes(SECOND)).await;

    let calls = spy.calls();
    assert_eq!((report.metrics.acked, calls.iter().sum::<usize>()), (100, 100));
    assert!(calls.iter().all(|count| *count <= 10), "{calls:?}");
    assert!(calls.len() <= 12, "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn what_settles_at_once_is_told_as_soon_as_it_is_handled() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 4).await;
    let spy = Spy::new(&queue).with(|capabilities| {
        capabilities.settles_at_once = true;
        capabilities.settle_linger = MINUTE;
    });

    let served = spawn(server(spy.clone()).concurrency(4), takes(SECOND));
    sleep(2 * SECOND).await;

    assert_eq!(spy.calls().iter().sum::<usize>(), 4);
    assert_eq!((queue.len(), served.stop().await.unwrap().metrics.acked), (0, 4));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_should_end_at_once_and_waits_is_seen_through_beside_the_handlers() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 20).await;
    let spy = Spy::new(&queue).on_settle(|_| Reply::Late(SECOND)).with(|capabilities| {
        capabilities.settles_at_once = true;
    });
    let (seen, start) = (Seen::default(), Instant::now());

    let report = serve_for(server(spy).concurrency(20), MINUTE, notes(&seen, Duration::ZERO)).await;

    assert_eq!((report.metrics.acked, queue.len()), (20, 0));
    assert!(seen.times(start).iter().all(Duration::is_zero), "no handler waits for a settlement");
}

#[tokio::test(start_paused = true)]
async fn what_failed_to_settle_at_once_is_told_again() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 5).await;
    let mut failures = 3;
    let fail = move |_: &_| {
        failures -= i32::from(failures > 0);
        if failures > 0 { Reply::Fail(ErrorKind::Unavailable) } else { Reply::Pass }
    };
    let spy = Spy::new(&queue).on_settle(fail).with(|capabilities| capabilities.settles_at_once = true);
    let seen = Seen::default();

    let report = serve_for(server(spy), MINUTE, notes(&seen, Duration::ZERO)).await;

    assert_eq!((report.metrics.acked, report.metrics.settle_retries, seen.count(), queue.len()), (5, 2, 5, 0));
}

#[tokio::test(start_paused = true)]
async fn settlements_wait_for_company_where_calls_cost_money() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 5).await;
    let spy = Spy::new(&queue).with(|capabilities| {
        capabilities.max_settle_batch = 10;
        capabilities.settle_linger = 10 * SECOND;
    });

    let staggered = service_fn(async |message: Message| {
        sleep(SECOND * text(&message).parse().unwrap()).await;
        Ok::<_, BoxError>(())
    });
    let served = spawn(server(spy.clone()), staggered);
    sleep(9 * SECOND).await;
    assert!(spy.calls().is_empty(), "the first waits for its company");
    sleep(2 * SECOND).await;
    assert_eq!(spy.calls(), [5]);

    publish(&queue, ["0"]).await;
    let report = served.stop().await.unwrap();
    assert_eq!((report.drain, report.metrics.in_flight), (Duration::ZERO, 0), "a shutdown waits for no company");
}

#[tokio::test(start_paused = true)]
async fn a_slow_broker_slows_fetching_rather_than_filling_memory() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 5000).await;
    let spy = Spy::new(&queue).on_settle(|_| Reply::Late(3600 * SECOND)).with(|capabilities| {
        capabilities.max_settle_batch = 1;
    });
    let seen = Seen::default();

    let error = try_serve_for(server(spy).concurrency(8), MINUTE, notes(&seen, Duration::ZERO)).await.unwrap_err();

    assert!((1000..=1100).contains(&seen.count()), "{} were handled, and none of them settled", seen.count());
    assert_eq!(error.report().metrics.unsettled, seen.count() as u64);
}
