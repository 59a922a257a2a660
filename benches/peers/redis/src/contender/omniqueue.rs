//! omniqueue's Redis backend, on streams, as its documents have it: sends and acknowledgements one by one.
//!
//! It carries bodies only, so no attribute is sent or read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use omniqueue::backends::{RedisBackend, RedisConfig};
use redis::{Value, cmd};
use tokio::task::JoinSet;

use super::shares;
use crate::server::{connect, url};
use crate::watch::Watch;
use crate::{BATCH, BODY, PUBLISHERS, Run};

pub async fn run(queue: String, messages: usize) -> Run {
    let mut create = cmd("XGROUP");
    create.arg("CREATE").arg(&queue).arg("g").arg("0").arg("MKSTREAM");
    let _: Value = create.query_async(&mut connect().await).await.expect("the group is made");
    let config = |number: usize| RedisConfig {
        dsn: url(),
        max_connections: 8,
        reinsert_on_nack: false,
        queue_key: queue.clone(),
        delayed_queue_key: format!("{queue}::delayed"),
        delayed_lock_key: format!("{queue}::lock"),
        consumer_group: "g".to_owned(),
        consumer_name: number.to_string(),
        payload_key: "payload".to_owned(),
        ack_deadline_ms: 30_000,
        dlq_config: None,
        sentinel_config: None,
    };
    let watch = Watch::start().await;
    let mut publishers = JoinSet::new();
    for (number, share) in shares(messages, PUBLISHERS).enumerate() {
        let producer = RedisBackend::builder(config(number)).build_producer().await.expect("a producer can be made");
        publishers.spawn(async move {
            for _ in 0..share {
                producer.send_raw(BODY).await.expect("a message can be sent");
            }
        });
    }
    publishers.join_all().await;
    let published = watch.stop().await;

    let (watch, left) = (Watch::start().await, Arc::new(AtomicUsize::new(messages)));
    let mut consumers = JoinSet::new();
    for number in 0..PUBLISHERS {
        let mut consumer =
            RedisBackend::builder(config(number)).build_consumer().await.expect("a consumer can be made");
        let left = Arc::clone(&left);
        consumers.spawn(async move {
            while left.load(Ordering::Relaxed) > 0 {
                let received = consumer.receive_all(BATCH, Duration::from_millis(100)).await;
                for delivery in received.expect("messages can be received") {
                    assert_eq!(delivery.borrow_payload().map(<[u8]>::len), Some(BODY.len()));
                    delivery.ack().await.map_err(|(error, _)| error).expect("a message can be acknowledged");
                    left.fetch_sub(1, Ordering::Relaxed);
                }
            }
        });
    }
    consumers.join_all().await;
    Run { published, consumed: watch.stop().await }
}
