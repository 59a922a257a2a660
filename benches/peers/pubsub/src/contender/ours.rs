//! chappe: a topic and a server.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chappe::pubsub::{PubsubPublisher, PubsubQueue};
use chappe::{BoxError, Message, Server, Topic};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tower::service_fn;

use super::{ATTRIBUTES, WAVE, shares};
use crate::server::{Place, client};
use crate::watch::Watch;
use crate::{BODY, CONCURRENCY, PUBLISHERS, Run};

pub fn message() -> Message {
    let mut message = Message::new(BODY);
    ATTRIBUTES.iter().for_each(|(name, value)| message.attributes_mut().append(*name, *value));
    message
}

pub async fn run(place: Place, messages: usize) -> Run {
    let client = client();
    let topic = PubsubPublisher::new(&client, &place.topic).topic();
    let watch = Watch::start().await;
    let mut publishers = JoinSet::new();
    for share in shares(messages, PUBLISHERS) {
        let topic = topic.clone();
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
            assert_eq!((message.body().len(), message.attributes().len()), (BODY.len(), ATTRIBUTES.len()));
            if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                done.notify_one();
            }
            std::future::ready(Ok::<_, BoxError>(()))
        }
    });
    let serving = Server::new(PubsubQueue::new(&client, &place.subscription)).concurrency(CONCURRENCY).serve(receiver);
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
