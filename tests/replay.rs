//! A replay: the last messages of a broadcast, for subscribers that come back.

use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use chappe::backend::{Broadcast, Fetch, Signal, StopSource, Subscription};
use chappe::memory::MemoryBus;
use chappe::replay::{Replay, ReplayOptions, ReplaySubscription};
use chappe::{Message, Topic};
use tokio::time::advance;

const TOPIC: &str = "prices";

async fn publish(bus: &MemoryBus, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let mut message = Message::new(number.to_string());
        message.set_id(number.to_string());
        bus.topic(TOPIC).publish(message).await.expect("the bus is open");
    }
}

/// What comes until so many messages did, as text.
async fn receive(subscription: &mut ReplaySubscription, messages: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.iter().filter(|text: &&String| text.parse::<u64>().is_ok()).count() < messages {
        let mut signals = Vec::new();
        assert_ne!(subscription.recv(3, &mut signals).await.expect("the bus works"), Fetch::Stopped);
        told.extend(signals.into_iter().map(|signal| match signal {
            Signal::Message(message) => String::from_utf8_lossy(message.body()).into_owned(),
            other => format!("{other:?}"),
        }));
    }
    told
}

fn options(messages: usize) -> ReplayOptions {
    ReplayOptions::new().max_messages(NonZeroUsize::new(messages).expect("it is not zero"))
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_hears_what_it_missed_and_then_what_comes() {
    let bus = MemoryBus::new(TOPIC);
    let replay = Replay::start(bus.fork(), TOPIC, options(100)).await.unwrap();
    let mut first = replay.subscribe();
    publish(&bus, 0..5).await;
    assert_eq!(receive(&mut first, 5).await, ["0", "1", "2", "3", "4"]);

    let mut back = replay.subscribe_after("2");
    let mut fresh = replay.subscribe();
    publish(&bus, 5..7).await;

    assert_eq!(receive(&mut back, 4).await, ["3", "4", "5", "6"]);
    assert_eq!(receive(&mut fresh, 2).await, ["5", "6"]);
}

#[tokio::test(start_paused = true)]
async fn who_was_away_too_long_is_told_of_the_gap() {
    let bus = MemoryBus::new(TOPIC);
    let replay = Replay::start(bus.fork(), TOPIC, options(3)).await.unwrap();
    let mut slow = replay.subscribe();
    let mut live = replay.subscribe();
    for number in 0..5 {
        publish(&bus, number..number + 1).await;
        receive(&mut live, 1).await;
    }

    let mut back = replay.subscribe_after("0");

    assert_eq!(receive(&mut back, 3).await, ["Gap", "2", "3", "4"]);
    assert_eq!(receive(&mut slow, 3).await, ["Lagged(2)", "2", "3", "4"]);
    assert_eq!(replay.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn messages_are_forgotten_by_age_and_when_they_expire() {
    let bus = MemoryBus::new(TOPIC);
    let age = Duration::from_secs(60);
    let replay = Replay::start(bus.fork(), TOPIC, options(100).max_age(age)).await.unwrap();
    let mut live = replay.subscribe();
    publish(&bus, 0..1).await;
    receive(&mut live, 1).await;
    advance(age * 2).await;
    publish(&bus, 1..2).await;
    receive(&mut live, 1).await;
    let mut expired = Message::new("expired");
    expired.set_expires(SystemTime::now() - Duration::from_secs(1));
    bus.topic(TOPIC).publish(expired).await.unwrap();
    publish(&bus, 2..3).await;
    receive(&mut live, 1).await;

    let mut back = replay.subscribe_after("0");

    assert_eq!(receive(&mut back, 2).await, ["Gap", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_a_gap_for_everybody() {
    let bus = MemoryBus::new(TOPIC);
    let handle = bus.fork();
    let replay = Replay::start(handle.clone(), TOPIC, options(100)).await.unwrap();
    let mut live = replay.subscribe();
    publish(&bus, 0..1).await;
    assert_eq!(receive(&mut live, 1).await, ["0"]);

    handle.set_healthy(false);
    publish(&bus, 1..2).await;
    handle.set_healthy(true);
    publish(&bus, 2..3).await;

    assert_eq!(receive(&mut live, 1).await, ["Gap", "2"]);
    assert_eq!(receive(&mut replay.subscribe_after("0"), 1).await, ["Gap", "2"]);
}

#[tokio::test(start_paused = true)]
async fn subscribers_end_with_the_bus_or_by_themselves_after_what_waits() {
    let bus = MemoryBus::new(TOPIC);
    let handle = bus.fork();
    let replay = Replay::start(handle.clone(), TOPIC, options(100)).await.unwrap();
    let stop = StopSource::new();
    let mut stopped = replay.subscribe().until(stop.token());
    let mut closed = replay.subscribe();
    publish(&bus, 0..1).await;
    receive(&mut closed, 1).await;

    stop.stop();
    handle.close().await.unwrap();

    let mut signals = Vec::new();
    assert_eq!(receive(&mut stopped, 1).await, ["0"]);
    assert_eq!(stopped.recv(1, &mut signals).await.unwrap(), Fetch::Stopped);
    assert_eq!(closed.recv(1, &mut signals).await.unwrap(), Fetch::Stopped);
    assert!(signals.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_unsubscribes() {
    let bus = MemoryBus::new(TOPIC);
    let replay = Replay::start(bus.fork(), TOPIC, options(100)).await.unwrap();
    let subscription = replay.subscribe();
    drop(replay);
    tokio::task::yield_now().await;
    assert_eq!(bus.subscribers(TOPIC), 1);

    drop(subscription);
    tokio::time::sleep(Duration::from_millis(1)).await;

    assert_eq!(bus.subscribers(TOPIC), 0);
}
