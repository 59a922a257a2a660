//! Short words for what every test does.

use std::num::NonZeroUsize;
use std::time::Duration;

use chappe_core::backend::{
    Action, ConsumeOptions, Consumer, Delivery, Fetch, Queue, SettleResult, Settlement, StopSource, StopToken,
};
use chappe_core::{Error, Message, Topic};
use chappe_memory::{MemoryConsumer, MemoryQueue, MemoryReceipt};

pub(crate) type Got = Delivery<MemoryReceipt>;

pub(crate) async fn consumer(queue: &MemoryQueue) -> MemoryConsumer {
    consumer_with(queue, StopToken::never()).await
}

pub(crate) async fn consumer_with(queue: &MemoryQueue, stop: StopToken) -> MemoryConsumer {
    queue.consume(ConsumeOptions::new(stop, NonZeroUsize::new(64).unwrap())).await.unwrap()
}

pub(crate) async fn publish(queue: &MemoryQueue, body: &'static str) {
    queue.topic().publish(body).await.unwrap();
}

pub(crate) fn keyed(key: &'static str, body: &'static str) -> Message {
    let mut message = Message::new(body);
    message.set_key(key);
    message
}

pub(crate) async fn fetch(consumer: &mut MemoryConsumer, max: usize) -> Vec<Got> {
    try_fetch(consumer, max).await.unwrap().1
}

pub(crate) async fn try_fetch(consumer: &mut MemoryConsumer, max: usize) -> Result<(Fetch, Vec<Got>), Error> {
    let mut out = Vec::new();
    let fetch = consumer.fetch(max, &mut out).await?;
    Ok((fetch, out))
}

pub(crate) async fn fetch_one(consumer: &mut MemoryConsumer) -> Got {
    fetch(consumer, 1).await.remove(0)
}

/// What can be fetched without waiting.
pub(crate) async fn fetch_now(queue: &MemoryQueue, max: usize) -> Vec<Got> {
    let stop = StopSource::new();
    let mut consumer = consumer_with(queue, stop.token()).await;
    let mut out = Vec::new();
    {
        let fetch = consumer.fetch(max, &mut out);
        tokio::pin!(fetch);
        tokio::select! {
            biased;
            done = &mut fetch => { done.unwrap(); }
            () = tokio::task::yield_now() => { stop.stop(); fetch.await.unwrap(); }
        }
    }
    out
}

pub(crate) fn bodies(deliveries: &[Got]) -> Vec<&str> {
    deliveries.iter().map(|delivery| std::str::from_utf8(delivery.message.body()).unwrap()).collect()
}

pub(crate) async fn settle(queue: &MemoryQueue, delivery: &Got, action: Action) -> SettleResult {
    let mut batch = [Settlement::new(delivery.receipt, action)];
    queue.settle(&mut batch).await.unwrap();
    let [settlement] = batch;
    settlement.result
}

pub(crate) async fn ack(queue: &MemoryQueue, delivery: &Got) {
    assert!(matches!(settle(queue, delivery, Action::Ack).await, SettleResult::Done));
}

pub(crate) fn retry(delay: Duration) -> Action {
    Action::Retry { delay, reason: None }
}

pub(crate) fn is_lost(result: &SettleResult) -> bool {
    matches!(result, SettleResult::Lost)
}

pub(crate) fn is_done(result: &SettleResult) -> bool {
    matches!(result, SettleResult::Done)
}
