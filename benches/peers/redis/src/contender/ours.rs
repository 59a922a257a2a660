//! chappe: a topic and a server, and a queue in a loop.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chappe::redis::RedisQueue;
use chappe::{BoxError, Message, Server, Topic};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tower::service_fn;

use super::shares;
use crate::server::{client, commands};
use crate::watch::Watch;
use crate::{BODY, CONCURRENCY, PUBLISHERS, Run};

/// How many messages a publisher hands over before it looks at what came of them.
const WAVE: usize = 2_000;

pub fn message() -> Message {
    let mut message = Message::new(BODY);
    ["a", "b", "c", "d"].iter().for_each(|name| message.attributes_mut().append(*name, "value"));
    message
}

pub async fn run(queue: String, messages: usize) -> Run {
    let queue = RedisQueue::new(&client(), queue);
    let watch = Watch::start().await;
    let mut publishers = JoinSet::new();
    for share in shares(messages, PUBLISHERS) {
        let topic = queue.topic();
        publishers.spawn(async move {
            for first in (0..share).step_by(WAVE) {
                let wave = (first..share.min(first + WAVE)).map(|_| message());
                for result in topic.publish_all(wave).await {
                    result.expect("a message can be published");
                }
            }
        });
    }
    publishers.join_all().await;
    let published = watch.stop().await;

    let watch = Watch::start().await;
    let (left, done) = (Arc::new(AtomicUsize::new(messages)), Arc::new(Notify::new()));
    let receiver = service_fn({
        let done = Arc::clone(&done);
        move |message: Message| {
            assert_eq!((message.body().len(), message.attributes().len()), (BODY.len(), 4));
            if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                done.notify_one();
            }
            std::future::ready(Ok::<_, BoxError>(()))
        }
    });
    let serving = Server::new(queue).concurrency(CONCURRENCY).serve(receiver);
    let handle = serving.handle();
    let serving = tokio::spawn(serving.into_future());
    done.notified().await;
    handle.shutdown();
    let report = serving.await.expect("the server does not panic").expect("the shutdown is clean");
    // Until the last acknowledgement is in, and the shutdown with it.
    let consumed = watch.stop().await;
    assert_eq!(report.metrics.acked, messages as u64);
    Run { published, consumed }
}

/// What a server of an empty queue asks for.
pub async fn idle(time: Duration) {
    let queue = RedisQueue::new(&client(), format!("bench-idle-{}", std::process::id()));
    let receiver = service_fn(|_: Message| std::future::ready(Ok::<_, BoxError>(())));
    let serving = tokio::spawn(Server::new(queue).serve(receiver).into_future());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = commands().await;
    tokio::time::sleep(time).await;
    // Looking takes a few itself: those of connecting, and the look.
    let (own, after) = (commands().await, commands().await);
    let count = (own - before).saturating_sub(after - own);
    serving.abort();
    println!(
        "\nidle: {:.0} commands a minute on the server, those within scripts included",
        count as f64 * 60.0 / time.as_secs_f64()
    );
}
