//! omniqueue's SQS backend as its documents have it: batches out, ten in, each acknowledged by itself.
//!
//! It carries bodies only, so no attribute is sent or read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use omniqueue::QueueProducer;
use omniqueue::backends::SqsBackend;
use tokio::task::JoinSet;

use super::{Clock, shares};
use crate::calls::Connection;
use crate::{BODY, PUBLISHERS, Run};

pub async fn run(connection: Connection, messages: usize) -> Run {
    let builder = || SqsBackend::builder(connection.url.clone()).sqs_config(connection.client.config().clone());
    let begun = Instant::now();
    let mut publishers = JoinSet::new();
    for share in shares(messages, PUBLISHERS) {
        let producer = builder().build_producer().await.expect("a producer can be made");
        publishers.spawn(async move {
            // What it takes is an `AsRef<String>`, which a string is not.
            let body = Arc::new(BODY.to_owned());
            producer.send_raw_batch(std::iter::repeat_n(body, share)).await.expect("messages can be sent");
        });
    }
    publishers.join_all().await;
    let published = begun.elapsed();

    let clock = Arc::new(Clock::start(messages));
    let mut consumers = JoinSet::new();
    for _ in 0..PUBLISHERS {
        let consumer = builder().build_consumer().await.expect("a consumer can be made");
        let clock = Arc::clone(&clock);
        consumers.spawn(async move {
            while clock.stopped().is_none() {
                let received = consumer.receive_all(10, Duration::from_secs(1)).await;
                for delivery in received.expect("messages can be received") {
                    assert_eq!(delivery.borrow_payload().map(<[u8]>::len), Some(BODY.len()));
                    clock.handled();
                    delivery.ack().await.map_err(|(error, _)| error).expect("a message can be acknowledged");
                }
            }
        });
    }
    consumers.join_all().await;
    let consumed = clock.stopped().expect("all are handled");
    Run { published, consumed, calls: connection.calls() }
}
