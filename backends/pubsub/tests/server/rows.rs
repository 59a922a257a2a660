//! What only a server can show: policies, going back in time, slow handlers, and connections that are silent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use chappe::{BoxError, Message, Server};
use chappe_conformance::{Direction, Relay};
use chappe_core::backend::{
    Action, Backend, ConsumeOptions, Consumer, DeadLetter, Delivery, Queue, Settlement, StopToken,
};
use chappe_core::{ErrorKind, Topic};
use chappe_pubsub::admin::{
    SubscriptionSpec, delete_subscription, delete_topic, ensure_subscription, ensure_topic, seek,
};
use chappe_pubsub::{
    PubsubClient, PubsubConsumer, PubsubMetadata, PubsubPublisher, PubsubQueue, PubsubReceipt, PubsubTopic,
};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tower::service_fn;

use crate::shim::Shim;
use crate::support::{PROJECT, client, client_of, emulator, fresh_name, server};

const LEASE: Duration = Duration::from_secs(10);
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A topic with a subscription of the same name.
async fn made(
    client: &PubsubClient,
    name: &str,
    wish: impl FnOnce(SubscriptionSpec) -> SubscriptionSpec,
) -> PubsubQueue {
    ensure_topic(client, name).await.expect("the server makes topics");
    let spec = wish(SubscriptionSpec::new(name, name).ack_deadline(LEASE));
    PubsubQueue::new(client, ensure_subscription(client, &spec).await.expect("the server makes subscriptions"))
        .lease(LEASE)
}

fn topic(client: &PubsubClient, name: &str) -> PubsubTopic {
    PubsubPublisher::new(client, name).topic()
}

async fn consume(queue: &PubsubQueue) -> PubsubConsumer {
    queue
        .consume(ConsumeOptions::new(StopToken::never(), 64.try_into().expect("it is not zero")))
        .await
        .expect("the subscription is there")
}

async fn take(consumer: &mut PubsubConsumer, count: usize) -> Vec<Delivery<PubsubReceipt>> {
    let mut all = Vec::new();
    while all.len() < count {
        let fetching = consumer.fetch(count - all.len(), &mut all);
        timeout(PATIENCE, fetching).await.expect("nothing came").expect("fetching failed");
    }
    all
}

async fn settle(queue: &PubsubQueue, deliveries: &[Delivery<PubsubReceipt>], action: Action) {
    let mut batch: Vec<_> =
        deliveries.iter().map(|delivery| Settlement::new(delivery.receipt.clone(), action.clone())).collect();
    queue.settle(&mut batch).await.expect("settling failed");
}

fn retry() -> Action {
    Action::Retry { delay: Duration::ZERO, reason: None }
}

/// G10: each takes nearly half a lease, and the last waits for more than one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Pub/Sub server: run by cargo xtask test"]
async fn slow_handlers_keep_what_they_have_and_what_waits_behind_it() {
    let (client, name) = (client(), fresh_name());
    let queue = made(&client, &name, |spec| spec).await;
    let results = topic(&client, &name).publish_all((0..6).map(|number| number.to_string())).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let (handled, mut log) = mpsc::unbounded_channel();
    let receiver = service_fn(move |message: Message| {
        let handled = handled.clone();
        async move {
            sleep(LEASE * 2 / 5).await;
            handled.send(message.body().clone())?;
            Ok::<_, BoxError>(())
        }
    });

    let servers: Vec<_> = (0..2)
        .map(|_| {
            let server = Server::new(queue.clone()).concurrency(1).prefetch(2);
            (server.handle(), tokio::spawn(server.serve(receiver.clone()).into_future()))
        })
        .collect();
    let mut bodies = Vec::new();
    while bodies.len() < 6 {
        bodies.push(timeout(PATIENCE, log.recv()).await.expect("nothing was handled").unwrap());
    }
    for (handle, serving) in servers {
        handle.shutdown();
        assert!(serving.await.unwrap().unwrap().is_clean());
    }

    bodies.sort();
    assert_eq!(bodies, ["0", "1", "2", "3", "4", "5"]);
    assert!(log.try_recv().is_err(), "one was handled twice");
}

/// G13.
#[tokio::test]
#[ignore = "needs a Pub/Sub server: run by cargo xtask test"]
async fn a_handler_that_hangs_beyond_the_longest_hold_is_told_and_its_message_comes_again() {
    let (client, name) = (client(), fresh_name());
    let queue = made(&client, &name, |spec| spec).await.max_hold(LEASE + Duration::from_secs(2));
    topic(&client, &name).publish("x").await.unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let server = Server::new(queue.clone());
    let handle = server.handle();
    let counter = Arc::clone(&calls);
    let receiver = service_fn(move |message: Message| {
        let (call, handle) = (counter.fetch_add(1, Ordering::SeqCst), handle.clone());
        async move {
            if call == 0 {
                message.lease().expect("every message has a lease").cancelled().await;
                return Err(BoxError::from("out of time"));
            }
            handle.shutdown();
            Ok(())
        }
    });

    let report = timeout(PATIENCE, server.serve(receiver).into_future()).await.expect("it did not come again").unwrap();

    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert_eq!((report.metrics.leases_lost, report.metrics.acked), (1, 1), "{report:?}");
}

/// G23: nothing is closed, and nothing comes. It is noticed by what keeps the connection alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Pub/Sub server: run by cargo xtask test"]
async fn a_connection_that_is_silently_dead_is_noticed_and_replaced() {
    let (direct, name) = (client(), fresh_name());
    made(&direct, &name, |spec| spec).await;
    let shim = Shim::to(&server()).await;
    let relay = Relay::to(shim.address).await.unwrap();
    let queue = PubsubQueue::new(&client_of(&relay.addr().to_string()), &name).lease(LEASE);
    let (handled, mut log) = mpsc::unbounded_channel();
    let receiver = service_fn(move |message: Message| {
        let handled = handled.clone();
        async move { Ok::<_, BoxError>(handled.send(message.body().clone())?) }
    });
    let server = Server::new(queue.clone());
    let handle = server.handle();
    let serving = tokio::spawn(server.serve(receiver).into_future());
    topic(&direct, &name).publish("before").await.unwrap();
    let before = timeout(PATIENCE, log.recv()).await.expect("nothing came").unwrap();
    let mut health = queue.status().watch();

    relay.blackhole(Direction::Both);
    timeout(PATIENCE, health.wait_for(|health| !health.healthy)).await.expect("it was not noticed").unwrap();
    topic(&direct, &name).publish("after").await.unwrap();
    relay.heal().await;
    let after = async {
        while let Some(body) = log.recv().await {
            if body == "after" {
                return;
            }
        }
    };
    timeout(PATIENCE, after).await.expect("nothing came after it was healed");
    handle.shutdown();
    serving.await.unwrap().unwrap();

    assert_eq!(before, "before");
}

/// G28.
#[tokio::test]
#[ignore = "needs Google's Pub/Sub emulator: run by cargo xtask test"]
async fn a_dead_letter_policy_counts_and_forwards() {
    let (client, name) = (client_of(&emulator()), fresh_name());
    let dead_name = format!("{name}-dead");
    let dead = made(&client, &dead_name, |spec| spec).await;
    let queue = made(&client, &name, |spec| spec.dead_letter(&dead_name, 5)).await;
    topic(&client, &name).publish("poison").await.unwrap();

    let (mut consumer, mut attempts) = (consume(&queue).await, Vec::new());
    for _ in 0..5 {
        let delivery = take(&mut consumer, 1).await.remove(0);
        let counted = delivery.message.extensions().get::<PubsubMetadata>().unwrap().delivery_attempt;
        attempts.push((delivery.message.attempt(), counted));
        settle(&queue, &[delivery], retry()).await;
    }
    let letter = take(&mut consume(&dead).await, 1).await.remove(0).message;

    assert_eq!(attempts, [1, 2, 3, 4, 5].map(|attempt| (attempt, Some(attempt))));
    let about = letter.extensions().get::<DeadLetter>().expect("it is a dead letter");
    assert_eq!((&*about.source, about.attempts, &letter.body()[..]), (&*name, 5, &b"poison"[..]));
    assert!(letter.attributes().is_empty(), "what Pub/Sub says of it became attributes: {:?}", letter.attributes());
}

/// G28, the other half: the count is this process's own.
#[tokio::test]
#[ignore = "needs a Pub/Sub server: run by cargo xtask test"]
async fn without_a_dead_letter_policy_this_process_counts() {
    let (client, name) = (client(), fresh_name());
    let queue = made(&client, &name, |spec| spec).await;
    topic(&client, &name).publish("x").await.unwrap();

    let (mut consumer, mut attempts) = (consume(&queue).await, Vec::new());
    for _ in 0..3 {
        let delivery = take(&mut consumer, 1).await.remove(0);
        let counted = delivery.message.extensions().get::<PubsubMetadata>().unwrap().delivery_attempt;
        attempts.push((delivery.message.attempt(), counted));
        settle(&queue, &[delivery], retry()).await;
    }

    assert_eq!(attempts, [1, 2, 3].map(|attempt| (attempt, None)));
}

/// G30: what was acknowledged is handled once more, and only once.
#[tokio::test]
#[ignore = "needs Google's Pub/Sub emulator: run by cargo xtask test"]
async fn a_subscription_goes_back_in_time() {
    let (client, name) = (client_of(&emulator()), fresh_name());
    let queue = made(&client, &name, |spec| spec.retention(Duration::from_secs(600), true)).await;
    let before = SystemTime::now() - Duration::from_secs(1);
    let results = topic(&client, &name).publish_all(["1", "2", "3"]).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let mut consumer = consume(&queue).await;
    let first = take(&mut consumer, 3).await;
    settle(&queue, &first, Action::Ack).await;

    seek(&client, &name, before).await.unwrap();
    let second = take(&mut consumer, 3).await;
    settle(&queue, &second, Action::Ack).await;
    drop(consumer);
    let log = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&log);
    let server = Server::new(queue).serve(service_fn(move |_: Message| {
        *counter.lock().unwrap() += 1;
        async { Ok::<_, BoxError>(()) }
    }));
    server.with_graceful_shutdown(sleep(LEASE + Duration::from_secs(2))).await.unwrap();

    let bodies = |deliveries: &[Delivery<PubsubReceipt>]| {
        let mut bodies: Vec<_> = deliveries.iter().map(|delivery| delivery.message.body().clone()).collect();
        bodies.sort();
        bodies
    };
    assert_eq!(bodies(&first), bodies(&second));
    assert!(second.iter().all(|delivery| delivery.message.attempt() == 1), "going back is no failure");
    assert_eq!(*log.lock().unwrap(), 0, "something came a third time");
}

/// G29.
#[tokio::test]
#[ignore = "needs a Pub/Sub server: run by cargo xtask test"]
async fn what_is_there_is_not_made_again_and_must_not_differ() {
    let (client, name) = (client(), fresh_name());
    let other = format!("{name}-other");
    let spec = |topic: &str| SubscriptionSpec::new(&name, topic).ack_deadline(LEASE);
    let missing = ensure_subscription(&client, &spec(&name)).await.unwrap_err();

    let topics = [ensure_topic(&client, &name).await.unwrap(), ensure_topic(&client, &name).await.unwrap()];
    let first = ensure_subscription(&client, &spec(&name)).await.unwrap();
    let second = ensure_subscription(&client, &spec(&name)).await.unwrap();
    ensure_topic(&client, &other).await.unwrap();
    let differs = ensure_subscription(&client, &spec(&other)).await.unwrap_err();
    delete_subscription(&client, &name).await.unwrap();
    delete_topic(&client, &name).await.unwrap();
    let gone = delete_topic(&client, &name).await.unwrap_err();

    assert_eq!((missing.kind(), gone.kind()), (ErrorKind::NotFound, ErrorKind::NotFound));
    assert_eq!(topics[0], topics[1]);
    assert_eq!((&first, &first), (&second, &format!("projects/{PROJECT}/subscriptions/{name}")));
    assert_eq!(differs.kind(), ErrorKind::Invalid, "{differs:?}");
}

/// By URL, in plain text.
#[tokio::test]
#[ignore = "needs a Pub/Sub server: run by cargo xtask test"]
async fn a_topic_and_a_subscription_are_named_by_urls() {
    let (host, name) = (server(), fresh_name());
    made(&client(), &name, |spec| spec).await;
    let publisher = PubsubPublisher::from_url(&format!("pubsub+http://{host}/{PROJECT}/{name}")).await.unwrap();
    let queue = PubsubQueue::from_url(&format!("pubsub+http://{host}/{PROJECT}/{name}?lease=10s")).await.unwrap();

    publisher.topic().publish("x").await.unwrap();
    let delivery = take(&mut consume(&queue).await, 1).await.remove(0);
    settle(&queue, std::slice::from_ref(&delivery), Action::Ack).await;

    assert_eq!(delivery.message.body(), "x");
}
