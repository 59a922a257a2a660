//! chappe: a topic and a server.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chappe::postgres::{PgQueue, PgStore, PgTopic};
use chappe::{BoxError, Message, Server, Topic};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tower::service_fn;

use super::{Flow, share};
use crate::server::{connect, url};
use crate::{BATCH, BODY, CONCURRENCY, PUBLISHERS};

fn message() -> Message {
    let mut message = Message::new(BODY);
    ["a", "b", "c", "d"].iter().for_each(|name| message.attributes_mut().append(*name, "value"));
    message
}

/// A queue of its own.
pub async fn queue() -> PgQueue {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let store = PgStore::from_url(&url()).expect("the URL is one");
    store.migrate().await.expect("the tables can be made");
    PgQueue::new(&store, format!("bench-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// The publishers share one topic, which has two connections.
pub async fn publish(queue: &PgQueue, messages: usize) {
    let topic = queue.topic();
    let mut publishers = JoinSet::new();
    for share in share(messages, PUBLISHERS) {
        let topic = topic.clone();
        publishers.spawn(async move { put(&topic, share).await });
    }
    publishers.join_all().await;
}

async fn put(topic: &PgTopic, messages: usize) {
    for result in topic.publish_all((0..messages).map(|_| message())).await {
        result.expect("a message can be published");
    }
}

pub async fn consume(queue: &PgQueue, messages: usize) {
    let (left, done) = (Arc::new(AtomicU64::new(messages as u64)), Arc::new(Notify::new()));
    let told = Arc::clone(&done);
    let receiver = service_fn(move |message: Message| {
        assert_eq!(message.body().len(), BODY.len());
        if left.fetch_sub(1, Ordering::Relaxed) == 1 {
            told.notify_one();
        }
        std::future::ready(Ok::<_, BoxError>(()))
    });
    let serving = Server::new(queue.clone()).concurrency(CONCURRENCY).serve(receiver);
    let handle = serving.handle();
    let serving = tokio::spawn(serving.into_future());
    done.notified().await;
    handle.shutdown();
    let report = serving.await.expect("the server does not panic").expect("the shutdown is clean");
    assert_eq!(report.metrics.acked, messages as u64);
}

/// Both sides at once.
pub async fn flow(queue: &PgQueue, time: Duration) -> f64 {
    let flow = Arc::new(Flow::default());
    let handled = Arc::clone(&flow);
    let receiver = service_fn(move |message: Message| {
        assert_eq!(message.body().len(), BODY.len());
        handled.handled.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok::<_, BoxError>(()))
    });
    let serving = Server::new(queue.clone()).concurrency(CONCURRENCY).serve(receiver);
    let handle = serving.handle();
    let serving = tokio::spawn(serving.into_future());
    let topic = queue.topic();
    let mut publishers = JoinSet::new();
    for _ in 0..PUBLISHERS {
        let (topic, ours) = (topic.clone(), Arc::clone(&flow));
        publishers.spawn(async move {
            while !ours.is_over() {
                ours.room().await;
                put(&topic, BATCH).await;
                ours.published.fetch_add(BATCH as u64, Ordering::Relaxed);
            }
        });
    }
    let rate = flow.measure(time).await;
    publishers.join_all().await;
    handle.shutdown();
    serving.await.expect("the server does not panic").expect("the shutdown is clean");
    rate
}

/// Queues share their tables, and so what dead rows they leave.
pub async fn remove(queue: &PgQueue) {
    queue.purge().await.expect("it can be emptied");
    connect().await.batch_execute("VACUUM chappe.message").await.expect("the table can be cleaned");
}

/// How long it takes until a message is published, and until its handler is called, of an idle queue, each time.
pub async fn wakes(count: usize) -> (Vec<Duration>, Vec<Duration>) {
    let queue = queue().await;
    let (sender, mut handled) = mpsc::unbounded_channel();
    let receiver = service_fn(move |_: Message| {
        let _ = sender.send(Instant::now());
        std::future::ready(Ok::<_, BoxError>(()))
    });
    let serving = tokio::spawn(Server::new(queue.clone()).concurrency(CONCURRENCY).serve(receiver).into_future());
    let topic = queue.topic();
    let (mut published, mut woken) = (Vec::new(), Vec::new());
    for at in 0..count + 3 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let begun = Instant::now();
        topic.publish(message()).await.expect("a message can be published");
        let time = begun.elapsed();
        let handled = handled.recv().await.expect("the server runs") - begun;
        // The first make the connections.
        if at >= 3 {
            published.push(time);
            woken.push(handled);
        }
    }
    serving.abort();
    (published, woken)
}

/// What a server of an empty queue asks in this time, in transactions, beside what goes on without it.
pub async fn idle(time: Duration) -> i64 {
    let without = transactions(time).await;
    let receiver = service_fn(|_: Message| std::future::ready(Ok::<_, BoxError>(())));
    let queue = queue().await;
    let serving = tokio::spawn(Server::new(queue).concurrency(CONCURRENCY).serve(receiver).into_future());
    // Its beginning is not idle, and the statistics come late.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let with = transactions(time).await;
    serving.abort();
    with - without
}

async fn transactions(time: Duration) -> i64 {
    let client = connect().await;
    let count = async || -> i64 {
        let sql =
            "SELECT pg_stat_clear_snapshot(), xact_commit FROM pg_stat_database WHERE datname = current_database()";
        client.query_one(sql, &[]).await.expect("it counts").get(1)
    };
    let before = count().await;
    tokio::time::sleep(time).await;
    count().await - before
}
