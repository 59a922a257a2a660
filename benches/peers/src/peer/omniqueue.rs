//! omniqueue's in-memory queue. It carries bytes only, so no attribute is sent or read.

use std::sync::Arc;

use omniqueue::backends::InMemoryBackend;
use omniqueue::{Delivery, QueueConsumer};
use tokio::sync::Semaphore;

use crate::support::load::BODY;
use crate::support::{Load, Sink};

/// One loop that receives, handles inline and acknowledges: no server at all.
pub async fn bare(load: Load, sink: Sink) {
    let mut consumer = publish(load).await;
    let handling = tokio::spawn(async move {
        for _ in 0..load.messages {
            handle(consumer.receive().await.expect("the queue is open"), &sink).await;
        }
    });
    handling.await.expect("the handler does not panic");
}

/// A task for each message, held back by a semaphore: how one writes a server by hand.
pub async fn pool(load: Load, sink: Sink) {
    let mut consumer = publish(load).await;
    let permits = Arc::new(Semaphore::new(load.concurrency));
    let handling = tokio::spawn({
        let sink = sink.clone();
        async move {
            for _ in 0..load.messages {
                let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is open");
                let delivery = consumer.receive().await.expect("the queue is open");
                let sink = sink.clone();
                tokio::spawn(async move {
                    handle(delivery, &sink).await;
                    drop(permit);
                });
            }
        }
    });
    handling.await.expect("the loop does not panic");
    sink.done().await;
}

async fn publish(load: Load) -> impl QueueConsumer {
    let (producer, consumer) = InMemoryBackend::builder().build_pair().await.expect("a queue can be made");
    let producer = Arc::new(producer);
    for share in load.shares() {
        let producer = Arc::clone(&producer);
        tokio::spawn(async move {
            for _ in 0..share {
                producer.send_raw(&BODY).await.expect("the queue is open");
                // The queue has no bound and sending never waits.
                tokio::task::consume_budget().await;
            }
        });
    }
    consumer
}

async fn handle(delivery: Delivery, sink: &Sink) {
    sink.take(None, delivery.borrow_payload().expect("a delivery has a payload"));
    delivery.ack().await.expect("acknowledging in memory cannot fail");
}
