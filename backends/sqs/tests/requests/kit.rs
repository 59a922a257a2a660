//! Short words for what every test does.

use std::num::NonZeroUsize;

use chappe_core::backend::{
    Action, ConsumeOptions, Consumer, Delivery, Fetch, Queue, SettleResult, Settlement, StopToken,
};
use chappe_core::{Error, Message};
use chappe_sqs::{SqsConsumer, SqsQueue, SqsReceipt};

pub(crate) type Got = Delivery<SqsReceipt>;

pub(crate) async fn consumer(queue: &SqsQueue) -> SqsConsumer {
    consumer_until(queue, StopToken::never()).await
}

pub(crate) async fn consumer_until(queue: &SqsQueue, stop: StopToken) -> SqsConsumer {
    queue.consume(ConsumeOptions::new(stop, NonZeroUsize::new(64).unwrap())).await.unwrap()
}

pub(crate) async fn try_fetch(consumer: &mut SqsConsumer, max: usize) -> Result<(Fetch, Vec<Got>), Error> {
    let mut out = Vec::new();
    let fetch = consumer.fetch(max, &mut out).await?;
    Ok((fetch, out))
}

pub(crate) async fn fetch(consumer: &mut SqsConsumer, max: usize) -> Vec<Got> {
    try_fetch(consumer, max).await.unwrap().1
}

/// Fetches until there are so many.
pub(crate) async fn take(consumer: &mut SqsConsumer, count: usize) -> Vec<Got> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(fetch(consumer, count - all.len()).await);
    }
    all
}

pub(crate) async fn settle_all(queue: &SqsQueue, entries: Vec<(&Got, Action)>) -> Vec<SettleResult> {
    let mut batch: Vec<_> =
        entries.into_iter().map(|(got, action)| Settlement::new(got.receipt.clone(), action)).collect();
    queue.settle(&mut batch).await.unwrap();
    batch.into_iter().map(|settlement| settlement.result).collect()
}

pub(crate) async fn settle(queue: &SqsQueue, got: &Got, action: Action) -> SettleResult {
    settle_all(queue, vec![(got, action)]).await.remove(0)
}

pub(crate) fn bodies(deliveries: &[Got]) -> Vec<&str> {
    deliveries.iter().map(|got| std::str::from_utf8(got.message.body()).unwrap()).collect()
}

pub(crate) fn keyed(key: &'static str, body: &'static str) -> Message {
    let mut message = Message::new(body);
    message.set_key(key);
    message
}
