//! What the layers cost while nobody listens. A program of its own, of one test: a subscriber of any other would be
//! listening, and allocations are counted for all threads together.

use std::alloc::System;
use std::future::ready;

use chappe::{BoxError, Message, Published, Topic};
use chappe_memory::MemoryQueue;
use chappe_middleware::metrics::{MeasurePublishLayer, MeasureReceiveLayer};
use chappe_middleware::trace::{TracePublishLayer, TraceReceiveLayer};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::{Layer, Service, ServiceBuilder, service_fn};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn a_context_is_passed_on_as_it_came_none_is_made_and_nothing_is_allocated() {
    let queue = MemoryQueue::new("there");
    let topic = TracePublishLayer::new("memory").layer(queue.topic());
    let mut relay = TraceReceiveLayer::new("memory").layer(service_fn(move |message: Message| {
        let topic = topic.clone();
        async move { topic.publish(message.into_body()).await }
    }));
    let mut traced = Message::new("x");
    traced.attributes_mut().insert("traceparent", PARENT);

    relay.call(traced.clone()).await.expect("the queue is open");
    relay.call(Message::new("y")).await.expect("the queue is open");

    let messages = queue.messages();
    let passed: Vec<_> = messages.iter().map(|message| message.attributes().get_str("traceparent")).collect();
    assert_eq!(passed, [Some(PARENT), None]);

    let untraced = Message::new("y");
    let inner = service_fn(|_: Message| ready(Ok::<_, BoxError>(())));
    let layers =
        ServiceBuilder::new().layer(TraceReceiveLayer::new("memory")).layer(MeasureReceiveLayer::new("memory"));
    let mut receiver = layers.service(inner);
    let inner = service_fn(|_: Message| ready(Ok::<_, BoxError>(Published::default())));
    let layers =
        ServiceBuilder::new().layer(TracePublishLayer::new("memory")).layer(MeasurePublishLayer::new("memory"));
    let mut topic = layers.service(inner);
    let mut region = Region::new(ALLOCATOR);
    for round in 0..3 {
        for message in [&traced, &untraced] {
            receiver.call(message.clone()).await.expect("it answers");
            topic.call(message.clone()).await.expect("it answers");
        }
        if round == 0 {
            // The writers of metrics are made with the first message of a kind.
            region.reset();
        }
    }

    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0));
}
