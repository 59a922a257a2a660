//! What only a server can show of the bus.

use std::time::Duration;

use chappe_conformance::{Direction, Relay};
use chappe_core::backend::{Backend, Broadcast, Fetch, Signal, SubscribeOptions, Subscription};
use chappe_core::{ErrorKind, Message, Topic};
use chappe_redis::{RedisBus, RedisSubscription};
use redis::cmd;
use tokio::time::{Instant, timeout};

use crate::support::{Own, address, client, client_of, fresh_name, run};

const PATIENCE: Duration = Duration::from_secs(30);

async fn next(subscription: &mut RedisSubscription) -> Signal {
    let mut signals = Vec::new();
    let got = timeout(PATIENCE, subscription.recv(1, &mut signals)).await.expect("a signal comes").unwrap();
    assert_eq!(got, Fetch::More);
    signals.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn what_others_publish_is_ignored_and_counted() {
    let bus = RedisBus::new(&client(), fresh_name());
    let mut subscription = bus.subscribe(bus.destination(), SubscribeOptions::new()).await.unwrap();

    run(&client(), cmd("PUBLISH").arg(bus.destination()).arg("hello")).await;
    bus.topic(bus.destination()).publish("x").await.unwrap();

    assert!(matches!(next(&mut subscription).await, Signal::Message(message) if message.body() == "x"));
    assert_eq!(bus.ignored(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn a_restart_of_the_server_is_a_gap_and_every_callback_hears_of_it() {
    let server = Own::start(false).await;
    let bus = RedisBus::new(&client_of(server.address()), "prices");
    let mut first = bus.subscribe("prices", SubscribeOptions::new()).await.unwrap();
    let mut second = bus.subscribe("news", SubscribeOptions::new()).await.unwrap();
    let (heard, mut epochs) = tokio::sync::mpsc::unbounded_channel();
    let guards = [1, 2].map(|number| {
        let heard = heard.clone();
        bus.status().on_reconnect(move |epoch| heard.send((number, epoch)).expect("the test listens"))
    });

    server.kill();
    let mut health = bus.status().watch();
    timeout(PATIENCE, health.wait_for(|health| !health.healthy)).await.expect("it is noticed").unwrap();
    server.revive().await;
    timeout(PATIENCE, health.wait_for(|health| health.healthy)).await.expect("it comes back").unwrap();
    bus.topic("news").publish("x").await.unwrap();

    assert!(matches!(next(&mut first).await, Signal::Gap));
    assert!(matches!(next(&mut second).await, Signal::Gap));
    assert!(matches!(next(&mut second).await, Signal::Message(message) if message.body() == "x"));
    assert_eq!([epochs.recv().await, epochs.recv().await], [Some((1, 2)), Some((2, 2))]);
    drop(guards);
}

/// The connection stands and nothing comes: only asking tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn a_subscription_that_fell_silent_is_noticed_and_made_again() {
    let relay = Relay::to(address()).await.unwrap();
    let bus = RedisBus::new(&client_of(relay.addr()), fresh_name());
    let mut subscription = bus.subscribe(bus.destination(), SubscribeOptions::new()).await.unwrap();
    let mut health = bus.status().watch();

    let started = Instant::now();
    relay.blackhole(Direction::Both);
    timeout(PATIENCE, health.wait_for(|health| !health.healthy)).await.expect("it is noticed").unwrap();
    let noticed = started.elapsed();
    relay.cut();
    relay.heal().await;
    timeout(PATIENCE, health.wait_for(|health| health.healthy)).await.expect("it comes back").unwrap();
    // What is published over a connection that just breaks may be lost, and the bus says so.
    let topic = bus.topic(bus.destination());
    while topic.publish("x").await.is_err() {}

    assert!(noticed < Duration::from_secs(28), "{noticed:?}");
    assert!(matches!(next(&mut subscription).await, Signal::Gap));
    assert!(matches!(next(&mut subscription).await, Signal::Message(message) if message.body() == "x"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn what_has_expired_is_not_handed_out() {
    let bus = RedisBus::new(&client(), fresh_name());
    let mut subscription = bus.subscribe(bus.destination(), SubscribeOptions::new()).await.unwrap();
    let mut late = Message::new("late");
    late.set_expires(std::time::SystemTime::now() - Duration::from_secs(1));

    let topic = bus.topic(bus.destination());
    topic.publish(late).await.unwrap();
    topic.publish("x").await.unwrap();

    assert!(matches!(next(&mut subscription).await, Signal::Message(message) if message.body() == "x"));
    assert_eq!(bus.status().stats().dropped, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn a_server_that_is_not_there_is_told_to_who_subscribes() {
    let relay = Relay::to(address()).await.unwrap();
    let nowhere = relay.addr();
    drop(relay);
    let bus = RedisBus::new(&client_of(nowhere), "prices");

    let refused = timeout(PATIENCE, bus.subscribe("prices", SubscribeOptions::new())).await.unwrap();

    assert_eq!(refused.expect_err("there is no server").kind(), ErrorKind::Unavailable);
    assert!(!bus.status().is_healthy());
}
