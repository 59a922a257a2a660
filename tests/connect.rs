//! Backends by URL.

use std::future::{Future, IntoFuture};
use std::time::Duration;

use chappe::backend::{Broadcast, LeaseKind, Queue, Signal, SubscribeOptions, Subscription};
use chappe::{Batched, Error, ErrorKind, Message, Outcome, Topic, connect};
use tower::service_fn;

fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    result.map(drop).expect_err("it is refused").kind()
}

async fn text<T>(result: impl Future<Output = Result<T, Error>>) -> String {
    format!("{:?}", result.await.map(drop).expect_err("it is refused"))
}

#[tokio::test(start_paused = true)]
async fn what_is_published_to_a_url_is_served_from_it() {
    let url = "memory://connect-served?lease=10s&dead_letter=connect-served-dead";
    let topic = connect::topic(url).await.unwrap();
    let server = connect::server("memory://connect-served?concurrency=2&grace=5s&max_attempts=1").await.unwrap();
    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();

    topic.publish("a chair").await.unwrap();
    let serving = server.serve(service_fn(move |message: Message| {
        sender.send(message.body().clone()).unwrap();
        std::future::ready(Ok::<_, Error>(Outcome::reject("no chairs")))
    }));
    let handle = serving.handle();
    let serving = tokio::spawn(serving.into_future());
    let body = received.recv().await.unwrap();
    handle.shutdown();
    serving.await.unwrap().unwrap();

    let dead = connect::queue("memory://connect-served-dead").await.unwrap();
    assert_eq!(body, "a chair");
    assert_eq!(dead.depth().await.unwrap().ready, 1);
}

#[tokio::test]
async fn a_bus_reaches_the_other_handles_of_the_process() {
    let here = connect::broadcast("memory://connect-bus").await.unwrap();
    let there = connect::broadcast("memory://connect-other").await.unwrap();
    let mut subscription = there.subscribe("connect-bus", SubscribeOptions::new()).await.unwrap();

    Batched::new(here).publish("hello").await.unwrap();

    let mut signals = Vec::new();
    subscription.recv(1, &mut signals).await.unwrap();
    assert!(matches!(&signals[0], Signal::Message(message) if message.body() == "hello"));
}

#[tokio::test]
async fn options_make_a_queue_and_have_to_agree() {
    let made = connect::queue("memory://connect-options?lease=7s&capacity=3").await.unwrap();

    let same = connect::queue("memory://connect-options?capacity=3&lease=7s").await;
    let none = connect::topic("memory://connect-options").await;
    let other = connect::queue("memory://connect-options?lease=8s").await;

    assert!(matches!(made.capabilities().lease, LeaseKind::Timed { ttl, .. } if ttl == Duration::from_secs(7)));
    assert!(same.is_ok() && none.is_ok());
    assert_eq!(kind(other), ErrorKind::Invalid);
}

#[tokio::test]
async fn what_is_wrong_is_said_with_the_way_out() {
    for (url, told) in [
        ("orders", "begins with a scheme"),
        ("kafka://h/q", "there are: memory"),
        ("memory://", "names no queue"),
        ("memory://q/r", "no path"),
        ("memory://q?laese=3s", "no option laese; there are: lease, capacity"),
        ("memory://q?lease=soon", "30s"),
        ("memory://q?lease=0s", "lease of queue q is zero"),
        ("memory://q?lease=1s&lease=2s", "twice"),
        ("memory://q?dead_letter=q", "the queue itself"),
    ] {
        let told_here = text(connect::queue(url)).await;
        assert!(told_here.contains(told), "{url}: {told_here}");
    }
    for (url, told) in [
        ("memory://q?concurrency=many", "concurrency is to be a whole number"),
        ("memory://q?lanes=some", "ordered or passing"),
        ("memory://q?ordered=yes", "ordered is to be true or false"),
        ("memory://q?grace=1", "500ms"),
    ] {
        let told_here = text(connect::server(url)).await;
        assert!(told_here.contains(told), "{url}: {told_here}");
    }
    assert!(text(connect::queue("memory://q?concurrency=3")).await.contains("no option concurrency"));
}

#[tokio::test]
async fn secrets_are_never_told() {
    for url in [
        "memory://user:hunter2@q?lease=x",
        "memory://q?password=hunter2",
        "memory://q?lease=hunter2",
        "hunter2",
        "sqs://key:hunter2@eu-west-1/1/q",
        "sns://key:hunter2@eu-west-1/1/q",
        "pubsub://key:hunter2@project/q",
        "pubsub://project/q?password=hunter2",
        "amqp://user:hunter2@host/q",
        "redis://user:hunter2@host/?queue=q&lease=x",
        "redis://user:hunter2@host/?topic=t&lease=hunter2",
        "postgres://user:hunter2@host/db?queue=q&lease=x",
        "postgres://user:hunter2@host/db?topic=t&password=hunter2",
    ] {
        for told in [text(connect::queue(url)).await, text(connect::server(url)).await] {
            assert!(!told.contains("hunter2"), "{url}: {told}");
        }
        // Not every one of them is wrong as a topic or a bus.
        for result in [connect::topic(url).await.map(drop), connect::broadcast(url).await.map(drop)] {
            let told = format!("{result:?}");
            assert!(!told.contains("hunter2"), "{url}: {told}");
        }
    }
}

#[cfg(all(feature = "sqs", feature = "sns"))]
#[tokio::test]
async fn what_a_backend_lacks_is_said_with_what_to_do_instead() {
    assert_eq!(kind(connect::queue("sns://eu-west-1/1/t").await), ErrorKind::Unsupported);
    assert_eq!(kind(connect::broadcast("sns://eu-west-1/1/t").await), ErrorKind::Unsupported);
    assert_eq!(kind(connect::broadcast("sqs://eu-west-1/1/q").await), ErrorKind::Unsupported);
    assert!(text(connect::queue("sns:arn:aws:sns:eu-west-1:1:t")).await.contains("a queue of SQS"));
}

#[cfg(feature = "pubsub")]
#[tokio::test]
async fn one_url_of_pubsub_is_a_queue_and_a_topic_and_no_bus() {
    let url = "pubsub+http://127.0.0.1:1/shop/orders?lease=30s&dead_letter=orders-dead&strict=true";

    assert!(connect::queue(url).await.is_ok());
    assert!(connect::topic(url).await.is_ok());
    assert_eq!(kind(connect::broadcast(url).await), ErrorKind::Unsupported);
    assert!(text(connect::topic("pubsub+http://127.0.0.1:1/shop/orders?leese=30s")).await.contains("no option leese"));
    assert!(text(connect::queue("pubsub://shop")).await.contains("a project and a subscription"));
}

#[cfg(not(feature = "sqs"))]
#[tokio::test]
async fn a_feature_that_is_off_is_named() {
    assert!(text(connect::queue("sqs://eu-west-1/1/q")).await.contains("feature `sqs`"));
}
