//! Google's client as its documentation has it: batches of a thousand, futures looked at in waves, one stream with a
//! thousand out, and a shutdown that waits for the acknowledgements.

use google_cloud_auth::credentials::anonymous;
use google_cloud_pubsub::client::{Publisher, Subscriber};
use google_cloud_pubsub::model::Message;
use tokio::task::JoinSet;

use super::{ATTRIBUTES, WAVE, shares};
use crate::server::{Place, host};
use crate::watch::Watch;
use crate::{BODY, CONCURRENCY, PUBLISHERS, Run};

pub fn message() -> Message {
    Message::new().set_data(BODY).set_attributes(ATTRIBUTES)
}

pub async fn publisher(topic: &str) -> Publisher {
    let builder = Publisher::builder(topic).with_endpoint(format!("http://{}", host()));
    let builder = builder.with_credentials(anonymous::Builder::new().build()).set_message_count_threshold(1_000);
    builder.build().await.expect("the client is made")
}

pub async fn run(place: Place, messages: usize) -> Run {
    let publisher = publisher(&place.topic).await;
    let watch = Watch::start().await;
    let mut publishers = JoinSet::new();
    for share in shares(messages, PUBLISHERS) {
        let publisher = publisher.clone();
        publishers.spawn(async move {
            for first in (0..share).step_by(WAVE) {
                let wave: Vec<_> = (first..share.min(first + WAVE)).map(|_| publisher.publish(message())).collect();
                for result in wave {
                    result.await.expect("a message can be published");
                }
            }
        });
    }
    publishers.join_all().await;
    let published = watch.stop().await;

    let builder = Subscriber::builder().with_endpoint(format!("http://{}", host()));
    let subscriber = builder.with_credentials(anonymous::Builder::new().build()).build().await;
    let subscriber = subscriber.expect("the client is made");
    let watch = Watch::start().await;
    let subscribe = subscriber.subscribe(&place.subscription).set_max_outstanding_messages(CONCURRENCY as i64);
    let mut stream = subscribe.build();
    for _ in 0..messages {
        let (message, handler) = stream.next().await.expect("the stream goes on").expect("it has messages");
        assert_eq!((message.data.len(), message.attributes.len()), (BODY.len(), ATTRIBUTES.len()));
        handler.ack();
    }
    let token = stream.shutdown_token();
    let shutdown = tokio::spawn(async move { token.shutdown().await });
    // It ends when somebody looks.
    while stream.next().await.is_some() {}
    drop(stream);
    shutdown.await.expect("it does not panic");
    Run { published, consumed: watch.stop().await }
}
