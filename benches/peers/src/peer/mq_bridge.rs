//! mq-bridge: a route from its memory endpoint through a handler.

use std::sync::atomic::{AtomicU64, Ordering};

use mq_bridge::endpoints::memory::MemoryPublisher;
use mq_bridge::models::{Endpoint, EndpointType, MemoryConfig};
use mq_bridge::traits::MessagePublisher;
use mq_bridge::{CanonicalMessage, Handled, Route};

use crate::support::load::{ATTRIBUTE, ATTRIBUTES, BODY};
use crate::support::raw::CAPACITY;
use crate::support::{Load, Sink};

/// Messages a route takes from its input at once; of the sizes from 1 to 1,024 this was its fastest.
const BATCH: usize = 1024;

/// A route with as many workers as the load says.
pub async fn route(load: Load, sink: Sink) {
    // Channels are global and known by name.
    static RUN: AtomicU64 = AtomicU64::new(0);
    let name = format!("bench-{}", RUN.fetch_add(1, Ordering::Relaxed));
    let handler = sink.clone();
    let route = Route::new(Endpoint::new_memory(&name, CAPACITY), Endpoint::new(EndpointType::Null))
        .with_handler(move |message: CanonicalMessage| {
            handler.take(message.get_metadata(ATTRIBUTE), &message.payload);
            async { Ok(Handled::Ack) }
        })
        .with_concurrency(load.concurrency)
        .with_batch_size(BATCH);
    route.deploy(&name).await.expect("the route starts");

    let mut template = CanonicalMessage::new_bytes(bytes::Bytes::copy_from_slice(&BODY), None);
    for (name, value) in ATTRIBUTES {
        template.set_metadata(name, value);
    }
    let config = MemoryConfig::new(&name, Some(CAPACITY));
    for share in load.shares() {
        let publisher = MemoryPublisher::new(&config).expect("a publisher can be made");
        let template = template.clone();
        tokio::spawn(async move {
            for _ in 0..share {
                publisher.send(template.clone()).await.expect("the channel is open");
            }
        });
    }
    sink.done().await;
    Route::stop(&name).await;
}
