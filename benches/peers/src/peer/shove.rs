//! shove with its in-memory broker: one consumer with a prefetch, and bytes for a message.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use shove::inmemory::{InMemoryConfig, InMemoryConsumerGroupConfig};
use shove::{
    Broker, Codec, ConsumerGroupConfig, InMemory, MessageHandler, MessageMetadata, Outcome, QueueTopology, Topic,
    TopologyBuilder,
};

use crate::support::load::{ATTRIBUTE, ATTRIBUTES, BODY};
use crate::support::raw::CAPACITY;
use crate::support::{Load, Sink};

/// Passes bytes through, sharing them where it is let.
struct RawCodec;

impl Codec<Bytes> for RawCodec {
    const NAME: &'static str = "raw";

    fn encode(value: &Bytes) -> shove::error::Result<Vec<u8>> {
        Ok(value.to_vec())
    }

    fn encode_bytes(value: &Bytes) -> shove::error::Result<Bytes> {
        Ok(value.clone())
    }

    fn decode(bytes: &[u8]) -> shove::error::Result<Bytes> {
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn decode_owned(bytes: Bytes) -> shove::error::Result<Bytes> {
        Ok(bytes)
    }
}

struct BenchTopic;

impl Topic for BenchTopic {
    type Message = Bytes;
    type Codec = RawCodec;

    fn topology() -> &'static QueueTopology {
        static TOPOLOGY: OnceLock<QueueTopology> = OnceLock::new();
        TOPOLOGY.get_or_init(|| TopologyBuilder::new("bench").dlq().build())
    }
}

#[derive(Clone)]
struct Handler(Sink);

impl MessageHandler<BenchTopic> for Handler {
    type Context = ();

    async fn handle(&self, body: Bytes, metadata: MessageMetadata, _: &()) -> Outcome {
        self.0.take(metadata.headers.get(ATTRIBUTE).map(String::as_str), &body);
        Outcome::Ack
    }
}

/// Up to `concurrency` messages prefetched by one consumer, which handles that many at once.
pub async fn prefetch(load: Load, sink: Sink) {
    let capacity = NonZeroUsize::new(CAPACITY).expect("the capacity is not zero");
    let broker = Broker::<InMemory>::new(InMemoryConfig::default().with_default_capacity(capacity)).await;
    let broker = broker.expect("a broker in memory can be made");
    broker.topology().declare::<BenchTopic>().await.expect("the topic can be declared");
    let mut group = broker.consumer_group();
    let prefetch = u16::try_from(load.concurrency).expect("the concurrency fits");
    let config = ConsumerGroupConfig::new(InMemoryConsumerGroupConfig::new(1..=1).with_prefetch_count(prefetch));
    let handler = sink.clone();
    group
        .register::<BenchTopic, _>(config, move || Handler(handler.clone()))
        .await
        .expect("the consumer can be registered");

    let headers: HashMap<String, String> =
        ATTRIBUTES.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    for share in load.shares() {
        let publisher = broker.publisher().await.expect("a publisher can be made");
        let (headers, body) = (headers.clone(), Bytes::copy_from_slice(&BODY));
        tokio::spawn(async move {
            for _ in 0..share {
                publisher.publish_with_headers::<BenchTopic>(&body, headers.clone()).await.expect("the broker is open");
            }
        });
    }
    let done = sink.clone();
    let outcome = group.run_until_timeout(async move { done.done().await }, Duration::from_secs(5)).await;
    assert_eq!(outcome.exit_code(), 0, "the consumer stops cleanly");
}
