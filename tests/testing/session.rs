//! Tracked sessions where all goes well, or ends well.

use std::time::Duration;

use chappe::testing::{Fate, Recorder, Session};
use chappe::{BoxError, Message, Outcome, OutcomeError, Server, Topic};
use chappe_memory::MemoryQueue;
use tower::service_fn;

use crate::kit::{ack, fail, serve};

#[tokio::test(start_paused = true)]
async fn a_session_without_messages_is_settled() {
    let session = Session::new();
    let orders = session.queue("orders");
    serve(&session, &orders, ack);

    let summary = session.settled().await;

    summary.assert_acked("orders", 0).assert_dead_lettered("orders", 0).assert_all_acked();
}

#[tokio::test(start_paused = true)]
async fn consequences_in_other_queues_are_waited_for() {
    let session = Session::new();
    let (orders, invoices) = (session.queue("orders"), session.queue("invoices"));
    let sink = Recorder::new();
    let (next, mail) = (invoices.topic(), session.topic("mail", sink.clone()));
    serve(&session, &orders, move |order| {
        let next = next.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok(next.publish(order).await?)
        }
    });
    serve(&session, &invoices, move |invoice| {
        let mail = mail.clone();
        async move { Ok(mail.publish(invoice).await?) }
    });

    orders.topic().publish_all(["a", "b"]).await;
    let summary = session.settled().await;

    summary.assert_published("orders", 2).assert_acked("orders", 2);
    summary.assert_published("invoices", 2).assert_acked("invoices", 2);
    summary.assert_published("mail", 2).assert_all_acked();
    sink.assert_published(2);
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_waited_for_and_its_reason_kept() {
    let session = Session::new();
    let orders = session.queue("orders");
    serve(&session, &orders, |order: Message| async move {
        if order.attempt() < 3 { Err("out of stock".into()) } else { Ok(()) }
    });

    orders.topic().publish("a").await.unwrap();
    let summary = session.settled().await;

    summary.assert_acked("orders", 1).assert_retried("orders", 1).assert_dead_lettered("orders", 0);
    let trace = summary.acked("orders")[0];
    let reasons: Vec<_> = trace.retries().iter().flatten().map(|reason| &**reason).collect();
    assert_eq!((trace.attempts(), reasons), (3, vec!["out of stock", "out of stock"]));
}

#[tokio::test(start_paused = true)]
async fn a_retry_far_in_the_future_is_waited_for() {
    let session = Session::new();
    let orders = session.queue("orders");
    serve(&session, &orders, |order: Message| async move {
        let pause = Outcome::RetryAfter(Duration::from_secs(6 * 3600));
        Ok(if order.attempt() < 3 { pause } else { Outcome::Ack })
    });

    orders.topic().publish("a").await.unwrap();
    let summary = session.settled().await;

    summary.assert_acked("orders", 1).assert_retried("orders", 1);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_have_their_reason() {
    let session = Session::new();
    let orders = session.queue("orders");
    serve(&session, &orders, |order: Message| async move {
        if order.body() == "bad" { Err(OutcomeError::reject("no such product").into()) } else { fail(order).await }
    });

    orders.topic().publish_all(["bad", "tired"]).await;
    let summary = session.settled().await;

    let mut reasons: Vec<_> = summary.dead_lettered("orders").iter().map(|trace| trace.dead_letter()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, [Some("attempt 3 of 3 failed: out of stock"), Some("no such product")]);
    summary.assert_retried("orders", 1).assert_acked("orders", 0);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_followed_to_where_they_are_handled() {
    let session = Session::new();
    let (queue, dead) = MemoryQueue::with_dead_letter("orders");
    let (orders, dead) = (session.track(queue), session.track(dead));
    orders.dead_letters_to(&dead);
    serve(&session, &orders, |_| async { Ok(Outcome::reject("bad")) });

    orders.topic().publish("a").await.unwrap();
    let before = session.settled_within(Duration::from_secs(60)).await.unwrap_err();
    serve(&session, &dead, ack);
    let summary = session.settled().await;

    assert_eq!(*before.summary().pending("orders.dead")[0].fate(), Fate::Queued);
    summary.assert_dead_lettered("orders", 1).assert_acked("orders.dead", 1);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_leads_to_two_queues_is_waited_for_in_both() {
    let session = Session::new();
    let (stock, mail) = (session.queue("stock"), session.queue("mail"));
    let (to_stock, to_mail) = (stock.get_ref().topic(), mail.get_ref().topic());
    let fan_out = service_fn(move |message: Message| {
        let (to_stock, to_mail) = (to_stock.clone(), to_mail.clone());
        async move {
            to_stock.publish(message.clone()).await?;
            to_mail.publish(message).await
        }
    });
    let orders = session.topic("orders", fan_out).leads_to(&stock).leads_to(&mail);
    serve(&session, &stock, ack);
    serve(&session, &mail, ack);

    orders.publish("a").await.unwrap();
    let summary = session.settled().await;

    summary.assert_published("orders", 1).assert_acked("stock", 1).assert_acked("mail", 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_published_behind_the_sessions_back_is_followed_from_its_fetch() {
    let session = Session::new();
    let orders = session.queue("orders");
    orders.get_ref().topic().publish("a").await.unwrap();
    let seen = Recorder::new();
    serve(&session, &orders, {
        let seen = seen.clone();
        move |order: Message| {
            let seen = seen.clone();
            async move {
                let first = order.attempt() == 1;
                seen.publish(order).await?;
                Ok(if first { Outcome::Retry } else { Outcome::Ack })
            }
        }
    });

    seen.next().await;
    let summary = session.settled().await;

    summary.assert_acked("orders", 1).assert_retried("orders", 1);
    assert_eq!(summary.traces("orders").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn receivers_never_see_the_stamp_of_a_session() {
    let session = Session::new();
    let orders = session.queue("orders");
    let seen = Recorder::new();
    session.spawn(Server::new(orders.clone()).serve(seen.clone()));

    orders.topic().publish("a").await.unwrap();
    session.settled().await;

    assert!(seen.assert_published(1)[0].attributes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_batching_server_is_followed_as_well() {
    let session = Session::new();
    let orders = session.queue("orders");
    let receiver = service_fn(async |batch: Vec<Message>| {
        Ok::<_, BoxError>(
            batch
                .iter()
                .map(|order| if order.body() == "b" { Outcome::reject("bad") } else { Outcome::Ack })
                .collect::<Vec<_>>(),
        )
    });
    session.spawn(Server::new(orders.clone()).serve_batch(receiver, chappe::server::BatchOptions::new(10)));

    orders.topic().publish_all(["a", "b", "c"]).await;
    let summary = session.settled().await;

    summary.assert_acked("orders", 2).assert_dead_lettered("orders", 1);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_is_not_waited_for() {
    let session = Session::new();
    let orders = session.queue("orders");
    serve(&session, &orders, ack);
    let mut order = Message::new("a");
    order.set_id("order-1");

    orders.topic().publish_all([order.clone(), order]).await;
    let summary = session.settled().await;

    summary.assert_published("orders", 1).assert_acked("orders", 1).assert_all_acked();
    assert_eq!(*summary.traces("orders")[1].fate(), Fate::Duplicate);
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_on_after_it_settled_and_shuts_its_servers_down() {
    let session = Session::new();
    let orders = session.queue("orders");
    serve(&session, &orders, ack);

    orders.topic().publish("a").await.unwrap();
    session.settled().await.assert_acked("orders", 1);
    orders.topic().publish("b").await.unwrap();
    session.settled().await.assert_acked("orders", 2);
    let reports = session.shutdown().await.unwrap();

    assert_eq!(reports.iter().map(|report| report.metrics.acked).collect::<Vec<_>>(), [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_session_settles_on_many_threads() {
    let session = Session::new();
    let (orders, invoices) = (session.queue("orders"), session.queue("invoices"));
    let next = invoices.topic();
    serve(&session, &orders, move |order| {
        let next = next.clone();
        async move {
            tokio::task::yield_now().await;
            Ok(next.publish(order).await?)
        }
    });
    serve(&session, &invoices, ack);

    orders.topic().publish_all(vec!["x"; 1000]).await;
    let summary = session.settled().await;

    summary.assert_acked("orders", 1000).assert_acked("invoices", 1000).assert_all_acked();
}
