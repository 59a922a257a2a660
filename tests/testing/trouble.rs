//! Tracked sessions under faults, and what they say when they do not settle.

use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chappe::testing::{Fate, Session, Unsettled};
use chappe::{BoxError, ErrorKind, Message, Server, Topic};
use chappe_memory::Chance;
use tokio::time::timeout;
use tower::service_fn;

use crate::kit::{ack, fail, serve};

const SECOND: Duration = Duration::from_secs(1);

async fn hang(_: Message) -> Result<(), BoxError> {
    pending().await
}

/// Blocks on a session that does not settle in a minute.
async fn unsettled(session: &Session) -> Unsettled {
    session.settled_within(SECOND * 60).await.expect_err("it cannot settle")
}

#[tokio::test(start_paused = true)]
async fn a_refused_publication_is_not_waited_for() {
    let session = Session::new();
    let orders = session.queue("orders");
    orders.get_ref().faults().fail_next_publishes(1, ErrorKind::Unavailable);
    serve(&session, &orders, ack);

    orders.topic().publish("a").await.unwrap_err();
    let summary = session.settled().await;

    summary.assert_published("orders", 0);
    assert_eq!(*summary.traces("orders")[0].fate(), Fate::Unpublished);
}

#[tokio::test(start_paused = true)]
async fn a_publication_whose_receipt_was_lost_is_waited_for() {
    let session = Session::new();
    let orders = session.queue("orders");
    orders.get_ref().faults().lose_next_receipts(1);

    orders.topic().publish("a").await.unwrap_err();
    let before = unsettled(&session).await;
    serve(&session, &orders, ack);
    let after = session.settled().await;

    assert_eq!(*before.summary().pending("orders")[0].fate(), Fate::Doubtful);
    after.assert_acked("orders", 1);
}

#[tokio::test(start_paused = true)]
async fn a_publication_that_was_given_up_is_not_waited_for_where_the_queue_is_empty() {
    let session = Session::new();
    let orders = session.queue("orders");
    let stuck = orders.track_topic(service_fn(|_: Message| pending::<Result<chappe::Published, BoxError>>()));

    let given_up = timeout(SECOND, stuck.publish("a")).await;
    let summary = session.settled().await;

    assert!(given_up.is_err());
    assert_eq!(*summary.traces("orders")[0].fate(), Fate::Unpublished);
}

#[tokio::test(start_paused = true)]
async fn an_ack_whose_confirmation_was_lost_counts_once() {
    let session = Session::new();
    let orders = session.queue("orders");
    orders.get_ref().faults().lose_next_acks(1);
    serve(&session, &orders, ack);

    orders.topic().publish("a").await.unwrap();
    let summary = session.settled().await;

    summary.assert_acked("orders", 1).assert_all_acked();
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_is_waited_for_until_the_message_is_handled_again() {
    let session = Session::new();
    let orders = session.queue("orders");
    let faults = orders.get_ref().faults();
    let first = Arc::new(AtomicBool::new(true));
    serve(&session, &orders, move |_| {
        let (faults, first) = (faults.clone(), Arc::clone(&first));
        async move {
            if first.swap(false, Ordering::Relaxed) {
                faults.expire_leases();
            }
            Ok(())
        }
    });

    orders.topic().publish("a").await.unwrap();
    let summary = session.settled().await;

    summary.assert_acked("orders", 1);
    assert!(orders.get_ref().is_empty());
}

#[tokio::test(start_paused = true)]
async fn faults_of_all_kinds_do_not_keep_a_session_from_settling() {
    for seed in 0..20 {
        let session = Session::new();
        let (orders, invoices) = (session.queue("orders"), session.queue("invoices"));
        for queue in [&orders, &invoices] {
            let chance = Chance::seeded(seed).fetch(0.1).settle(0.1).lost_settle(0.1).settle_entry(0.1);
            queue.get_ref().faults().random(chance.publish(0.1).lost_receipt(0.1).duplicate(0.1));
        }
        let next = invoices.topic();
        session.spawn(Server::new(orders.clone()).serve(service_fn(move |order: Message| {
            let next = next.clone();
            async move { next.publish(order).await.map(drop) }
        })));
        session.spawn(Server::new(invoices.clone()).serve(service_fn(ack)));

        let topic = orders.topic();
        topic.publish_all(vec!["x"; 50]).await;
        let summary = session.settled().await;

        let left = (orders.get_ref().len(), invoices.get_ref().len());
        assert_eq!((left, summary.pending("orders").len()), ((0, 0), 0), "seed {seed}: {summary}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_ones_own_is_kept() {
    let session = Session::new();
    let orders = session.queue("orders");
    orders.topic().publish("a").await.unwrap();
    let began = tokio::time::Instant::now();

    let error = unsettled(&session).await;

    assert_eq!(began.elapsed().as_secs(), 60);
    assert_eq!(error.to_string(), "session has not settled within 60s; still there:\n  queue orders: \"a\": queued");
}

#[tokio::test(start_paused = true)]
async fn it_is_told_where_each_message_is() {
    let session = Session::new();
    let (stuck, failing) = (session.queue("stuck"), session.queue("failing"));
    serve(&session, &stuck, hang);
    session.spawn(
        Server::new(failing.clone()).backoff(chappe::server::Backoff::fixed(SECOND * 50)).serve(service_fn(fail)),
    );
    let nowhere = session.topic("nowhere", service_fn(|_: Message| pending::<Result<chappe::Published, BoxError>>()));

    stuck.topic().publish("a").await.unwrap();
    failing.topic().publish("b").await.unwrap();
    let publishing = tokio::spawn(async move { nowhere.publish("c").await });
    let error = unsettled(&session).await.to_string();

    publishing.abort();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(
        lines,
        [
            "session has not settled within 60s; still there:",
            "  topic nowhere: \"c\": being published",
            "  queue stuck: 1 \"a\": in flight, 1 attempt",
            "  queue failing: 1 \"b\": waiting for its next attempt, 2 attempts, last retried because of \"out of stock\"",
        ]
    );
}

#[tokio::test(start_paused = true)]
#[should_panic(
    expected = "session has not settled within 10s; still there:\n  queue orders: 1 \"a\": in flight, 1 attempt"
)]
async fn settled_in_vain_says_what_is_left() {
    let session = Session::new();
    let orders = session.queue("orders");
    serve(&session, &orders, hang);
    orders.topic().publish("a").await.unwrap();

    session.settled().await;
}

#[tokio::test]
async fn a_server_that_failed_is_not_waited_for() {
    let session = Session::new();
    let orders = session.queue("orders");
    session.spawn(Server::new(orders.clone()).concurrency(0).serve(service_fn(ack)));
    orders.topic().publish("a").await.unwrap();

    let error = session.settled_within(SECOND * 5).await.unwrap_err().to_string();

    assert!(
        error.starts_with("session cannot settle, its server has ended: server cannot go on: concurrency is 0"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
#[should_panic(
    expected = "expected 2 acked in orders, found 1; there were:\n  topic orders\n    \"a\": published\n  queue orders\n    1 \"a\": acked, 1 attempt"
)]
async fn a_wrong_count_shows_all_there_is() {
    let session = Session::new();
    let orders = session.queue("orders");
    serve(&session, &orders, ack);
    orders.topic().publish("a").await.unwrap();

    session.settled().await.assert_acked("orders", 2);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "expected all messages acked, 1 are not and 0 were not published")]
async fn a_dead_letter_is_not_acked() {
    let session = Session::new();
    let orders = session.queue("orders");
    serve(&session, &orders, fail);
    orders.topic().publish("a").await.unwrap();

    session.settled().await.assert_all_acked();
}

#[tokio::test]
#[should_panic(expected = "queue order is not tracked, the session has [\"orders\"]")]
async fn a_name_that_is_not_tracked_is_told_apart_from_an_empty_queue() {
    let session = Session::new();
    let _orders = session.queue("orders");

    session.settled().await.assert_acked("order", 0);
}

#[tokio::test]
#[should_panic(expected = "queue orders is tracked by another session")]
async fn sessions_are_not_mixed() {
    let orders = Session::new().queue("orders");

    let _ = Session::new().topic("orders", orders.get_ref().topic()).leads_to(&orders);
}

fn is_send<T: Future + Send>(_: T) {}

#[test]
fn the_futures_are_send() {
    let session = Session::new();
    is_send(session.settled());
    is_send(session.settled_within(SECOND));
    is_send(session.shutdown());
}
