//! What may be sent to and shared with other threads, checked by the compiler.
#![allow(dead_code, reason = "some of it only has to compile")]

mod support;

use chappe_core::backend::{
    Backend, Broadcast, Capabilities, ConsumeOptions, Consumer, DeadLetter, Delivery, Outgoing, PublishCapabilities,
    Queue, ReconnectGuard, Settlement, Signal, Status, StopSource, StopToken, SubscribeOptions, Subscription,
};
use chappe_core::erased::{DynConsumer, Slot};
use chappe_core::{
    Attributes, Batched, BoxTopic, DynBroadcast, DynPublisher, DynQueue, DynSubscription, Error, Key, Lease,
    LeaseControl, Message, MessageId, MessageWriter, Outcome, OutcomeError, Published, Receiver, Topic, Value, batch,
    erased,
};
use support::Scripted;

fn send<T: Send + 'static>() {}
fn send_and_sync<T: Send + Sync + 'static>() {}
fn handle<T: Clone + Send + Sync + 'static>() {}
fn sent<T: Send>(_: T) {}

#[test]
fn values_are_send_and_sync() {
    send_and_sync::<Message>();
    send_and_sync::<Attributes>();
    send_and_sync::<Value>();
    send_and_sync::<Key>();
    send_and_sync::<MessageId>();
    send_and_sync::<Published>();
    send_and_sync::<Outcome>();
    send_and_sync::<OutcomeError>();
    send_and_sync::<Error>();
    send_and_sync::<Lease>();
    send_and_sync::<LeaseControl>();
    send_and_sync::<DeadLetter>();
    send_and_sync::<Capabilities>();
    send_and_sync::<PublishCapabilities>();
    send_and_sync::<ConsumeOptions>();
    send_and_sync::<SubscribeOptions>();
    send_and_sync::<Outgoing>();
    send_and_sync::<Signal>();
    send_and_sync::<Delivery<Slot>>();
    send_and_sync::<Settlement<Slot>>();
    send_and_sync::<ReconnectGuard>();
}

#[test]
fn handles_are_cloned_sent_and_shared() {
    handle::<Status>();
    handle::<StopToken>();
    handle::<StopSource>();
    handle::<Batched<Scripted>>();
    handle::<BoxTopic>();
    handle::<DynQueue>();
    handle::<DynPublisher>();
    handle::<DynBroadcast>();
    send::<DynConsumer>();
    send::<DynSubscription>();
    send::<MessageWriter<BoxTopic>>();
    send::<batch::ResponseFuture>();
    send::<erased::ResponseFuture>();
}

#[test]
fn topics_are_topics_and_receivers() {
    fn both<T: Topic + Receiver>() {}

    both::<Batched<Scripted>>();
    both::<Batched<DynPublisher>>();
    both::<BoxTopic>();
}

#[test]
fn futures_are_send() {
    fn of_topics(topic: &Batched<Scripted>, lease: Lease, stop: StopToken) {
        sent(topic.publish("a"));
        sent(topic.publish_all(["a"]));
        sent(topic.flush());
        sent(topic.writer().close());
        sent(async move { lease.extend(std::time::Duration::ZERO).await });
        sent(async move { stop.stopped().await });
    }
    fn of_contracts<Q: Queue, B: Broadcast>(queue: &Q, bus: &B, batch: &mut [Settlement<Q::Receipt>]) {
        fn backend(_: &impl Backend) {}
        backend(queue);
        sent(queue.consume(ConsumeOptions::new(StopToken::never(), std::num::NonZeroUsize::MIN)));
        sent(queue.settle(batch));
        sent(queue.depth());
        sent(queue.close());
        sent(bus.publish(&mut []));
        sent(bus.subscribe("a", SubscribeOptions::new()));
    }
    fn of_consumers(mut consumer: impl Consumer, mut subscription: impl Subscription) {
        sent(consumer.fetch(1, &mut Vec::new()));
        sent(subscription.recv(1, &mut Vec::new()));
    }
}
