//! How long it takes to acknowledge a message, and until a released one is elsewhere.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use chappe::Topic;
use chappe::backend::{Action, ConsumeOptions, Consumer, Delivery, Queue, SettleResult, Settlement, StopToken};
use chappe::pubsub::{PubsubConsumer, PubsubPublisher, PubsubQueue, PubsubReceipt};

use crate::contender::ours;
use crate::server::{Place, client, place};

/// Acknowledges one message at a time.
pub async fn acknowledge(messages: usize) {
    let place = place("ack").await;
    let (queue, mut consumer) = consumer(&place).await;
    let topic = PubsubPublisher::new(&client(), &place.topic).topic();
    let mut times = Vec::new();
    for _ in 0..messages {
        topic.publish(ours::message()).await.expect("a message can be published");
        let delivery = next(&mut consumer).await;
        let begun = Instant::now();
        settle(&queue, delivery, Action::Ack).await;
        times.push(begun.elapsed());
    }
    tell("acknowledging a message, until the server says so", times);
}

/// Releases messages by one consumer until they come to another, and returns the longest it took.
pub async fn release(messages: usize) -> Duration {
    let place = place("release").await;
    let topic = PubsubPublisher::new(&client(), &place.topic).topic();
    let mut times = Vec::new();
    for _ in 0..messages {
        topic.publish(ours::message()).await.expect("a message can be published");
        let (one, mut consumer) = consumer(&place).await;
        let delivery = next(&mut consumer).await;
        let (other, mut elsewhere) = self::consumer(&place).await;
        let begun = Instant::now();
        // A server that shuts down does both.
        settle(&one, delivery, Action::Release).await;
        drop(consumer);
        let delivery = next(&mut elsewhere).await;
        times.push(begun.elapsed());
        settle(&other, delivery, Action::Ack).await;
    }
    tell("from releasing a message to another consumer that has it", times)
}

async fn consumer(place: &Place) -> (PubsubQueue, PubsubConsumer) {
    let queue = PubsubQueue::new(&client(), &place.subscription);
    let consumer =
        queue.consume(ConsumeOptions::new(StopToken::never(), NonZeroUsize::MIN)).await.expect("it can be consumed");
    (queue, consumer)
}

async fn next(consumer: &mut PubsubConsumer) -> Delivery<PubsubReceipt> {
    let mut out = Vec::new();
    while out.is_empty() {
        consumer.fetch(1, &mut out).await.expect("messages can be fetched");
    }
    out.remove(0)
}

async fn settle(queue: &PubsubQueue, delivery: Delivery<PubsubReceipt>, action: Action) {
    let mut batch = [Settlement::new(delivery.receipt, action)];
    queue.settle(&mut batch).await.expect("the server answers");
    assert!(matches!(batch[0].result, SettleResult::Done), "{:?}", batch[0].result);
}

/// Prints the spread, and returns the longest.
fn tell(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!("{what}: p50 {:.2?}, p99 {:.2?}, worst {:.2?}", at(50), at(99), at(100));
    at(100)
}
