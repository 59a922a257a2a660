//! What the bus promises.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chappe_core::backend::{
    Backend, Broadcast, Fetch, Outgoing, Overflow, PublishResult, Publisher, Signal, StopSource, SubscribeOptions,
    Subscription,
};
use chappe_core::{ErrorKind, Message, Topic};
use chappe_memory::{MemoryBus, MemorySubscription};
use tokio::time::{Instant, timeout};

const TOPIC: &str = "prices";
const SECOND: Duration = Duration::from_secs(1);

fn options(buffer: usize, overflow: Overflow) -> SubscribeOptions {
    SubscribeOptions::new().buffer(NonZeroUsize::new(buffer).unwrap()).overflow(overflow)
}

async fn subscribe(bus: &MemoryBus, options: SubscribeOptions) -> MemorySubscription {
    bus.subscribe(TOPIC, options).await.unwrap()
}

async fn publish(bus: &MemoryBus, bodies: impl IntoIterator<Item = u8>) {
    for body in bodies {
        bus.topic(TOPIC).publish(vec![body]).await.unwrap();
    }
}

/// What waits: numbers for messages, `L` for what was missed, `G` for gaps.
async fn received(subscription: &mut MemorySubscription) -> Vec<String> {
    let mut signals = Vec::new();
    _ = timeout(Duration::from_millis(1), subscription.recv(1000, &mut signals)).await;
    shown(&signals)
}

fn shown(signals: &[Signal]) -> Vec<String> {
    let show = |signal: &Signal| match signal {
        Signal::Message(message) => message.body()[0].to_string(),
        Signal::Lagged(missed) => format!("L{missed}"),
        Signal::Gap => "G".to_owned(),
        _ => "?".to_owned(),
    };
    signals.iter().map(show).collect()
}

#[tokio::test(start_paused = true)]
async fn every_subscriber_of_a_topic_gets_its_own_copy() {
    let bus = MemoryBus::new(TOPIC);
    let mut one = subscribe(&bus, SubscribeOptions::new()).await;
    let mut other = subscribe(&bus, SubscribeOptions::new()).await;
    let mut elsewhere = bus.subscribe("weather", SubscribeOptions::new()).await.unwrap();

    publish(&bus, 1..=3).await;

    assert_eq!(received(&mut one).await, ["1", "2", "3"]);
    assert_eq!(received(&mut other).await, ["1", "2", "3"]);
    assert!(received(&mut elsewhere).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn publishing_to_nobody_succeeds() {
    let bus = MemoryBus::new(TOPIC);

    publish(&bus, [1]).await;

    assert_eq!(bus.status().stats().sent, 1);
}

#[tokio::test(start_paused = true)]
async fn a_copy_tells_where_it_is_from() {
    let bus = MemoryBus::new(TOPIC);
    let mut subscription = subscribe(&bus, SubscribeOptions::new()).await;
    let mut message = Message::new("");
    message.attributes_mut().append("tag", "a");
    message.attributes_mut().append("tag", "b");
    let receipt = bus.topic(TOPIC).publish(message.clone()).await.unwrap();

    let mut signals = Vec::new();
    assert_eq!(subscription.recv(1, &mut signals).await.unwrap(), Fetch::More);
    let Some(Signal::Message(copy)) = signals.pop() else { panic!("not a message") };

    assert_eq!((copy.id(), copy.source()), (receipt.id.as_ref(), Some(TOPIC)));
    assert_eq!((copy.attributes(), copy.body().len()), (message.attributes(), 0));
    assert!(copy.published().is_some());
}

#[tokio::test(start_paused = true)]
async fn without_echo_a_handle_hears_only_others() {
    let one = MemoryBus::new(TOPIC);
    let other = one.fork();
    let mut of_one = subscribe(&one, SubscribeOptions::new().echo(false)).await;
    let mut of_other = subscribe(&other, SubscribeOptions::new().echo(false)).await;
    let mut with_echo = subscribe(&one.clone(), SubscribeOptions::new()).await;

    publish(&one, [1]).await;
    publish(&other, [2]).await;

    assert_eq!(received(&mut of_one).await, ["2"]);
    assert_eq!(received(&mut of_other).await, ["1"]);
    assert_eq!(received(&mut with_echo).await, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_are_dropped_and_counted_exactly() {
    let bus = MemoryBus::new(TOPIC);
    let mut slow = subscribe(&bus, options(3, Overflow::DropOldest)).await;

    publish(&bus, 1..=8).await;
    let first = received(&mut slow).await;
    publish(&bus, 9..=10).await;

    assert_eq!(first, ["L5", "6", "7", "8"]);
    assert_eq!(received(&mut slow).await, ["9", "10"]);
    assert_eq!((bus.status().stats().dropped, bus.status().stats().received), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn the_newest_are_dropped_and_counted_exactly() {
    let bus = MemoryBus::new(TOPIC);
    let mut slow = subscribe(&bus, options(3, Overflow::DropNewest)).await;

    publish(&bus, 1..=8).await;
    let mut signals = Vec::new();
    slow.recv(1, &mut signals).await.unwrap();
    publish(&bus, 9..=10).await;
    signals.clear();
    slow.recv(1000, &mut signals).await.unwrap();

    assert_eq!(shown(&signals), ["2", "3", "L5", "9", "L1"]);
    assert_eq!(bus.status().stats().dropped, 6);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_is_disconnected_gets_what_waits_and_then_an_error() {
    let bus = MemoryBus::new(TOPIC);
    let mut slow = subscribe(&bus, options(2, Overflow::Disconnect)).await;
    let mut quick = subscribe(&bus, SubscribeOptions::new()).await;

    publish(&bus, 1..=4).await;

    let mut signals = Vec::new();
    slow.recv(1000, &mut signals).await.unwrap();
    assert_eq!(shown(&signals), ["1", "2"]);
    assert_eq!(slow.recv(1, &mut signals).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(received(&mut quick).await, ["1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_waits_for_a_subscriber_that_blocks() {
    let bus = MemoryBus::new(TOPIC);
    let mut slow = subscribe(&bus, options(1, Overflow::Block { timeout: SECOND })).await;
    publish(&bus, [1]).await;
    let (of_first, of_second) = (bus.clone(), bus.clone());
    let first = tokio::spawn(async move { publish(&of_first, [2]).await });
    tokio::task::yield_now().await;
    let second = tokio::spawn(async move { publish(&of_second, [3]).await });
    tokio::task::yield_now().await;
    assert!(!first.is_finished() && !second.is_finished());

    let mut order = Vec::new();
    for _ in 0..3 {
        order.extend(received(&mut slow).await);
    }

    assert_eq!(order, ["1", "2", "3"]);
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(bus.status().stats().dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_blocks_for_too_long_is_disconnected() {
    let bus = MemoryBus::new(TOPIC);
    let mut slow = subscribe(&bus, options(1, Overflow::Block { timeout: SECOND })).await;
    let mut quick = subscribe(&bus, SubscribeOptions::new()).await;
    let start = Instant::now();

    publish(&bus, 1..=3).await;

    assert_eq!(start.elapsed().as_secs(), 1, "only the first that waits does");
    assert_eq!(received(&mut quick).await, ["1", "2", "3"]);
    assert_eq!(received(&mut slow).await, ["1"]);
    assert_eq!(slow.recv(1, &mut Vec::new()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(bus.subscribers(TOPIC), 1);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_dropped_while_it_is_blocked_takes_its_message_back() {
    let bus = MemoryBus::new(TOPIC);
    let mut slow = subscribe(&bus, options(1, Overflow::Block { timeout: SECOND * 60 })).await;
    publish(&bus, [1]).await;

    assert!(timeout(SECOND, publish(&bus, [2])).await.is_err());

    assert_eq!(received(&mut slow).await, ["1"]);
    publish(&bus, [3]).await;
    assert_eq!(received(&mut slow).await, ["3"]);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_publisher_goes_on_when_the_subscriber_leaves() {
    let bus = MemoryBus::new(TOPIC);
    let slow = subscribe(&bus, options(1, Overflow::Block { timeout: Duration::MAX })).await;
    publish(&bus, [1]).await;
    let blocked = tokio::spawn({
        let bus = bus.clone();
        async move { publish(&bus, [2]).await }
    });
    tokio::task::yield_now().await;

    drop(slow);

    timeout(SECOND, blocked).await.unwrap().unwrap();
    assert_eq!(bus.subscribers(TOPIC), 0);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_a_gap_and_one_call_of_each_callback() {
    let one = MemoryBus::new(TOPIC);
    let other = one.fork();
    let calls = Arc::new(AtomicU64::new(0));
    let (first, second) = (Arc::clone(&calls), Arc::clone(&calls));
    let _first = other.status().on_reconnect(move |_| _ = first.fetch_add(1, Ordering::Relaxed));
    let guard = other.status().on_reconnect(move |_| _ = second.fetch_add(1, Ordering::Relaxed));
    let mut of_one = subscribe(&one, SubscribeOptions::new()).await;
    let mut of_other = subscribe(&other, SubscribeOptions::new()).await;
    publish(&one, [1]).await;

    other.set_healthy(false);
    other.set_healthy(false);
    publish(&one, [2]).await;
    let refused = other.topic(TOPIC).publish("x").await.unwrap_err();
    assert!(!other.status().is_healthy() && one.status().is_healthy());
    other.set_healthy(true);
    other.set_healthy(true);
    publish(&one, [3]).await;

    assert_eq!((refused.kind(), refused.is_retryable()), (ErrorKind::Unavailable, true));
    assert_eq!(received(&mut of_other).await, ["1", "G", "3"]);
    assert_eq!(received(&mut of_one).await, ["1", "2", "3"]);
    assert_eq!((calls.load(Ordering::Relaxed), other.status().health().epoch), (2, 2));
    drop(guard);
    other.set_healthy(false);
    other.set_healthy(true);
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn closing_one_fork_ends_its_subscriptions_and_not_those_of_others() {
    let one = MemoryBus::new(TOPIC);
    let other = one.fork();
    let mut of_one = subscribe(&one, SubscribeOptions::new()).await;
    let mut of_other = subscribe(&other, SubscribeOptions::new()).await;
    publish(&other, [1]).await;

    one.close().await.unwrap();
    one.close().await.unwrap();
    publish(&other, [2]).await;

    let mut signals = Vec::new();
    assert_eq!(of_one.recv(9, &mut signals).await.unwrap(), Fetch::More);
    assert_eq!(of_one.recv(9, &mut signals).await.unwrap(), Fetch::Stopped);
    assert_eq!(shown(&signals), ["1"]);
    assert_eq!(received(&mut of_other).await, ["1", "2"]);
    assert_eq!(one.topic(TOPIC).publish("x").await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(one.subscribe(TOPIC, SubscribeOptions::new()).await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(!one.status().is_healthy());
    one.set_healthy(true);
    assert!(!one.status().is_healthy(), "closed is closed");
}

#[tokio::test(start_paused = true)]
async fn a_stop_wakes_a_subscriber_that_waits_and_lets_nothing_more_in() {
    let bus = MemoryBus::new(TOPIC);
    let stop = StopSource::new();
    let mut waits = subscribe(&bus, SubscribeOptions::new().stop(stop.token())).await;
    let mut buffered = subscribe(&bus, SubscribeOptions::new().stop(stop.token())).await;
    let waiting = tokio::spawn(async move {
        let mut signals = Vec::new();
        waits.recv(1, &mut signals).await.unwrap();
        waits.recv(1, &mut signals).await.unwrap()
    });
    tokio::task::yield_now().await;
    publish(&bus, [1]).await;
    tokio::task::yield_now().await;

    stop.stop();
    assert_eq!(waiting.await.unwrap(), Fetch::Stopped);
    let mut signals = Vec::new();
    assert_eq!(buffered.recv(9, &mut signals).await.unwrap(), Fetch::More);
    publish(&bus, [2]).await;
    assert_eq!(buffered.recv(9, &mut signals).await.unwrap(), Fetch::Stopped);

    assert_eq!(shown(&signals), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_subscription_unsubscribes() {
    let bus = MemoryBus::new(TOPIC);
    let one = subscribe(&bus, SubscribeOptions::new()).await;
    let other = subscribe(&bus.fork(), SubscribeOptions::new()).await;
    assert_eq!(bus.subscribers(TOPIC), 2);

    drop(one);
    assert_eq!(bus.subscribers(TOPIC), 1);
    drop(other);

    assert_eq!(bus.subscribers(TOPIC), 0);
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_refused() {
    let bus = MemoryBus::new(TOPIC);
    let mut message = Message::new("late");
    message.set_delay(SECOND);

    assert_eq!(bus.topic(TOPIC).publish(message).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_to_the_topic_of_the_handle() {
    let bus = MemoryBus::new(TOPIC);
    let mut subscription = subscribe(&bus, SubscribeOptions::new()).await;
    let mut batch = vec![Outgoing::new(Message::new(vec![1])), Outgoing::new(Message::new(vec![2]))];

    Publisher::publish(&bus, &mut batch).await.unwrap();

    assert!(batch.iter().all(|entry| matches!(entry.result, PublishResult::Accepted(_))));
    assert_eq!(received(&mut subscription).await, ["1", "2"]);
    assert_eq!((bus.system(), bus.destination()), ("memory", TOPIC));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_publishers_and_blocking_subscribers_lose_nothing() {
    const EACH: usize = 500;
    let bus = MemoryBus::new(TOPIC);
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut subscription = subscribe(&bus.fork(), options(8, Overflow::Block { timeout: SECOND * 60 })).await;
        readers.push(tokio::spawn(async move {
            let (mut signals, mut seen) = (Vec::new(), 0);
            while seen < 4 * EACH {
                subscription.recv(5, &mut signals).await.unwrap();
                assert!(signals.iter().all(|signal| matches!(signal, Signal::Message(_))));
                seen += signals.len();
                signals.clear();
            }
        }));
    }
    for _ in 0..4 {
        let bus = bus.fork();
        tokio::spawn(async move { publish(&bus, std::iter::repeat_n(7, EACH)).await });
    }

    for reader in readers {
        timeout(SECOND * 60, reader).await.expect("a reader was not woken").unwrap();
    }
}
