//! Leases: renewed for as long as a message is here, and what happens when they end all the same.

use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::backend::{Action, LeaseKind};
use chappe::server::BatchOptions;
use chappe::{BoxError, Cancelled, ErrorKind, Message};
use chappe_memory::MemoryQueue;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use crate::support::*;

const LEASE: Duration = Duration::from_secs(8);

fn queue() -> MemoryQueue {
    MemoryQueue::builder("jobs").lease(LEASE).build().unwrap()
}

/// Waits to be told to stop, notes why and when, and acknowledges.
fn until_cancelled(told: &Arc<Mutex<Vec<(Cancelled, Instant)>>>) -> impl chappe::Receiver {
    let told = Arc::clone(told);
    service_fn(move |message: Message| {
        let told = Arc::clone(&told);
        async move {
            let reason = message.lease().expect("the server sets it").cancelled().await;
            told.lock().unwrap().push((reason, Instant::now()));
            Ok::<_, BoxError>(())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_for_as_long_as_the_handler_runs() {
    let queue = queue();
    publish(&queue, ["x"]).await;
    let spy = Spy::new(&queue);
    let (seen, start) = (Seen::default(), Instant::now());

    let report = serve_for(server(spy.clone()), 10 * MINUTE, notes(&seen, 5 * MINUTE)).await;

    assert_eq!((seen.count(), report.metrics.acked, report.metrics.leases_lost), (1, 1, 0));
    let renewed = spy.extensions();
    assert_eq!(report.metrics.leases_renewed, renewed.len() as u64);
    let times: Vec<Instant> = std::iter::once(start).chain(renewed).chain([start + 5 * MINUTE]).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= LEASE / 2), "{times:?}");
    assert!(times.len() < 130, "and not much more often than needed: {}", times.len());
}

#[tokio::test(start_paused = true)]
async fn leases_are_renewed_during_the_drain() {
    let queue = queue();
    publish(&queue, ["x"]).await;
    let seen = Seen::default();

    let stopping = server(queue.clone()).grace(10 * MINUTE);
    let report = serve_for(stopping, SECOND, notes(&seen, 5 * MINUTE)).await;

    assert_eq!((report.metrics.acked, report.metrics.leases_lost, seen.count()), (1, 0, 1));
    assert!(report.drain > 4 * MINUTE && queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn leases_are_renewed_from_receive_not_from_start() {
    let queue = queue();
    publish_numbers(&queue, 4).await;
    let seen = Seen::default();

    let waiting = server(queue.clone()).concurrency(1).prefetch(3);
    let report = serve_for(waiting, 10 * MINUTE, notes(&seen, MINUTE)).await;

    assert_eq!((seen.bodies(), seen.attempts()), (["0", "1", "2", "3"].map(str::to_owned).into(), vec![1; 4]));
    assert_eq!((report.metrics.fetched, report.metrics.acked, report.metrics.leases_lost), (4, 4, 0));
}

#[tokio::test(start_paused = true)]
async fn leases_fetched_together_are_renewed_in_few_calls() {
    let queue = queue();
    publish_numbers(&queue, 200).await;
    let spy = Spy::new(&queue);

    let report = serve_for(server(spy.clone()).concurrency(200), 2 * MINUTE, takes(MINUTE)).await;

    assert_eq!(report.metrics.acked, 200);
    let calls = spy.calls().len();
    assert!(calls < 80, "{calls} calls for {} renewals", report.metrics.leases_renewed);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_once_is_repeated_in_time() {
    let queue = queue();
    publish(&queue, ["x"]).await;
    let mut failures = 0;
    let spy = Spy::new(&queue).on_settle(move |entry| {
        let fails = matches!(entry.action, Action::Extend { .. }) && failures < 3;
        failures += u32::from(fails);
        if fails { Reply::Fail(ErrorKind::Unavailable) } else { Reply::Pass }
    });
    let seen = Seen::default();

    let report = serve_for(server(spy), 10 * MINUTE, notes(&seen, MINUTE)).await;

    assert_eq!((seen.count(), report.metrics.acked, report.metrics.leases_lost), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_renewed_is_lost_and_the_handler_told() {
    let queue = queue();
    publish(&queue, ["x"]).await;
    let spy = Spy::new(&queue).on_settle(|entry| match entry.action {
        Action::Extend { .. } => Reply::Fail(ErrorKind::Unavailable),
        _ => Reply::Pass,
    });
    let (told, start) = (Arc::default(), Instant::now());

    let report = serve_for(server(spy.clone()), LEASE - SECOND, until_cancelled(&told)).await;

    assert_eq!(*told.lock().unwrap(), [(Cancelled::LeaseLost, start + LEASE)]);
    assert!(spy.actions().contains(&Action::Forget), "the broker is told nothing of the first delivery");
    assert_eq!((report.metrics.leases_lost, report.metrics.leases_renewed), (1, 0));
    let renewals = spy.extensions().len();
    assert!((8..=40).contains(&renewals), "{renewals} tries");
}

#[tokio::test(start_paused = true)]
async fn a_message_handled_under_a_lost_lease_is_acked_and_not_handled_when_it_comes_again() {
    let queue = queue();
    publish(&queue, ["x"]).await;
    let seen = Seen::default();
    let served = spawn(server(queue.clone()).concurrency(1), notes(&seen, 2 * LEASE));
    sleep(SECOND).await;

    queue.faults().expire_leases();
    sleep(MINUTE).await;
    let report = served.stop().await.unwrap();

    assert_eq!((seen.count(), report.metrics.leases_lost), (1, 1), "the one worker was still at it");
    assert_eq!((report.metrics.acked_again, report.metrics.acked), (1, 1));
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_renewed_by_its_kind_ends_in_time() {
    let queue = queue();
    publish(&queue, ["x"]).await;
    let spy = Spy::new(&queue)
        .with(|capabilities| capabilities.lease = LeaseKind::Timed { ttl: LEASE, max: None, renewable: false });
    let (told, start) = (Arc::default(), Instant::now());

    let report = serve_for(server(spy.clone()), LEASE - SECOND, until_cancelled(&told)).await;

    assert_eq!(*told.lock().unwrap(), [(Cancelled::LeaseLost, start + LEASE)]);
    assert_eq!((spy.extensions().len(), report.metrics.leases_lost), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_not_renewed_beyond_what_the_broker_allows_in_all() {
    let queue = queue();
    publish(&queue, ["x"]).await;
    let spy = Spy::new(&queue).with(|capabilities| {
        capabilities.lease = LeaseKind::Timed { ttl: LEASE, max: Some(3 * LEASE), renewable: true }
    });
    let (told, start) = (Arc::default(), Instant::now());

    let stopping = server(spy.clone()).concurrency(1);
    serve_for(stopping, 3 * LEASE - SECOND, until_cancelled(&told)).await;

    assert_eq!(*told.lock().unwrap(), [(Cancelled::LeaseLost, start + 3 * LEASE)]);
    assert!(spy.extensions().len() < 12, "{}", spy.extensions().len());
}

#[tokio::test(start_paused = true)]
async fn a_handler_extends_its_lease_ahead_of_a_long_stretch() {
    let queue = queue();
    publish(&queue, ["x"]).await;

    let report = serve_for(
        server(queue.clone()),
        5 * MINUTE,
        service_fn(async |message: Message| {
            let lease = message.lease().expect("the server sets it").clone();
            let start = Instant::now();
            assert_eq!(lease.deadline(), Some(start + LEASE));
            assert_eq!(lease.extend(MINUTE).await.unwrap(), start + MINUTE);
            assert_eq!((lease.deadline(), lease.is_cancelled()), (Some(start + MINUTE), None));
            Ok::<_, BoxError>(())
        }),
    )
    .await;

    assert_eq!((report.metrics.errors, report.metrics.panics, report.metrics.acked), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_with_its_handler() {
    let queue = queue();
    publish(&queue, ["x", "y"]).await;
    let kept = Arc::new(Mutex::new(None));

    let keep = Arc::clone(&kept);
    serve_for(
        server(queue.clone()).concurrency(1),
        MINUTE,
        service_fn(move |message: Message| {
            keep.lock().unwrap().get_or_insert_with(|| message.lease().unwrap().clone());
            ready(Ok::<_, BoxError>(()))
        }),
    )
    .await;

    let lease = kept.lock().unwrap().take().unwrap();
    assert_eq!((lease.deadline(), lease.is_cancelled()), (None, None));
    assert_eq!(lease.extend(SECOND).await.unwrap_err().kind(), ErrorKind::LeaseLost);
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_lease_ended_before_its_turn_is_not_started() {
    let queue = queue();
    publish_numbers(&queue, 2).await;
    let spy = Spy::new(&queue)
        .with(|capabilities| capabilities.lease = LeaseKind::Timed { ttl: LEASE, max: None, renewable: false });
    let seen = Seen::default();

    let log = seen.clone();
    let waiting = server(spy).concurrency(1).prefetch(1);
    let report = serve_for(
        waiting,
        5 * LEASE,
        service_fn(move |message: Message| {
            log.note(&message);
            let first = log.count() == 1;
            async move {
                sleep(if first { LEASE + SECOND } else { SECOND }).await;
                Ok::<_, BoxError>(())
            }
        }),
    )
    .await;

    assert_eq!((seen.bodies(), seen.attempts()), (vec!["0".to_owned(), "1".to_owned()], vec![1, 2]));
    assert_eq!(report.metrics.leases_lost, 2, "that of the one that ran, and that of the one that waited");
    assert_eq!((report.metrics.acked_again, report.metrics.acked, queue.len()), (1, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fills_up_slowly_keeps_its_leases_and_shows_them() {
    let queue = queue();
    publish(&queue, ["x"]).await;
    let deadlines = Arc::new(Mutex::new(Vec::new()));

    let log = Arc::clone(&deadlines);
    let server = server(queue.clone()).concurrency(1);
    let report = server
        .serve_batch(
            service_fn(move |batch: Vec<Message>| {
                let left = batch[0].lease().unwrap().deadline().unwrap().checked_duration_since(Instant::now());
                log.lock().unwrap().push(left);
                ready(Ok::<_, BoxError>(vec![(); batch.len()]))
            }),
            BatchOptions::new(10).max_wait(MINUTE),
        )
        .with_graceful_shutdown(sleep(2 * MINUTE))
        .await
        .unwrap();

    assert_eq!((report.metrics.acked, report.metrics.leases_lost), (1, 0));
    let left = deadlines.lock().unwrap()[0].expect("the lease had not ended");
    assert!(left >= LEASE / 2, "{left:?} left");
}

#[tokio::test(start_paused = true)]
async fn a_message_lost_while_its_batch_fills_up_is_left_out() {
    let queue = queue();
    publish(&queue, ["x"]).await;
    let spy = Spy::new(&queue).on_settle(|entry| match entry.action {
        Action::Extend { .. } => Reply::Fail(ErrorKind::Unavailable),
        _ => Reply::Pass,
    });
    let seen = Seen::default();

    let log = seen.clone();
    let report = server(spy)
        .concurrency(1)
        .serve_batch(
            service_fn(move |batch: Vec<Message>| {
                batch.iter().for_each(|message| log.note(message));
                ready(Ok::<_, BoxError>(vec![(); batch.len()]))
            }),
            BatchOptions::new(2).max_wait(LEASE + SECOND),
        )
        .with_graceful_shutdown(sleep(MINUTE))
        .await
        .unwrap();

    assert_eq!((seen.attempts(), report.metrics.acked), (vec![2], 1), "the first delivery was not ours any more");
}
