//! What the bus promises while all is well.

use std::time::{Duration, SystemTime};

use chappe_core::backend::{Backend, Broadcast, Signal, SubscribeOptions, Subscription};
use chappe_core::{ErrorKind, Message, Topic};
use chappe_postgres::{PgBus, PgStore};

use crate::support::{
    client, config, fresh_name, is_silent, next, publish, raw_config, signals, store, subscribe, try_publish,
};

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn equal_messages_of_one_batch_all_arrive() {
    let bus = PgBus::new(&store(), fresh_name());
    let mut subscription = subscribe(&bus, bus.destination()).await;

    publish(&bus, ["same"; 50]).await;

    assert_eq!(next(&mut subscription, 50).await, ["same"; 50]);
    assert_eq!((bus.status().stats().sent, bus.status().stats().received), (50, 50));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn topics_of_any_length_and_characters_do_not_mix() {
    let bus = PgBus::new(&store(), "unused");
    let plain = fresh_name();
    // What the server would cut off at 63 bytes is where they differ.
    let long = format!("{plain}-{}", "x".repeat(60));
    let topics =
        [plain.clone(), format!("{long}1"), format!("{long}2"), format!("{plain} \"größe\"; --"), plain.to_uppercase()];
    let mut subscriptions = Vec::new();
    for topic in &topics {
        subscriptions.push(subscribe(&bus, topic).await);
    }

    for topic in &topics {
        bus.topic(topic.as_str()).publish(topic.clone()).await.unwrap();
    }

    for (subscription, topic) in subscriptions.iter_mut().zip(&topics) {
        let Signal::Message(message) = signals(subscription, 1).await.remove(0) else { panic!("no message") };
        assert_eq!((&message.body()[..], message.source()), (topic.as_bytes(), Some(topic.as_str())));
        assert!(is_silent(subscription).await);
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_clone_is_the_same_participant_and_a_fork_is_another() {
    let bus = PgBus::new(&store(), fresh_name());
    let fork = bus.fork();
    let no_echo = SubscribeOptions::new().echo(false);
    let mut of_bus = bus.subscribe(bus.destination(), no_echo.clone()).await.unwrap();
    let mut of_fork = fork.subscribe(bus.destination(), no_echo).await.unwrap();

    publish(&bus.clone(), ["of the clone"]).await;
    bus.topic(bus.destination()).publish("of the topic").await.unwrap();
    publish(&fork, ["of the fork"]).await;

    assert_eq!(next(&mut of_bus, 1).await, ["of the fork"]);
    assert_eq!(next(&mut of_fork, 2).await, ["of the clone", "of the topic"]);
    assert!(is_silent(&mut of_bus).await && is_silent(&mut of_fork).await);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn every_subscriber_knows_a_message_by_the_same_id() {
    let bus = PgBus::new(&store(), fresh_name());
    let mut one = subscribe(&bus, bus.destination()).await;
    let mut other = subscribe(&bus.fork(), bus.destination()).await;
    let before = SystemTime::now();
    let mut own = Message::new("with an id");
    own.set_id("event-7");

    let receipt = bus.topic(bus.destination()).publish("without one").await.unwrap();
    publish(&bus, [own]).await;

    let id = |signal: &Signal| match signal {
        Signal::Message(message) => message.id().cloned(),
        _ => None,
    };
    let (first, second) = (signals(&mut one, 2).await, signals(&mut other, 2).await);
    assert_eq!((id(&first[0]), id(&second[0])), (receipt.id.clone(), receipt.id));
    assert_eq!((id(&first[1]), id(&second[1])), (Some("event-7".into()), Some("event-7".into())));
    let Signal::Message(message) = &second[1] else { panic!("no message") };
    assert!(message.published().is_some_and(|at| at >= before && at <= SystemTime::now()));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn what_has_expired_is_not_delivered() {
    let bus = PgBus::new(&store(), fresh_name());
    let mut subscription = subscribe(&bus, bus.destination()).await;
    let expiring = |body: &'static str, at: SystemTime| {
        let mut message = Message::new(body);
        message.set_expires(at);
        message
    };
    let now = SystemTime::now();

    publish(&bus, [expiring("late", now), expiring("early", now + Duration::from_secs(3600))]).await;

    assert_eq!(next(&mut subscription, 1).await, ["early"]);
    assert_eq!(bus.status().stats().dropped, 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn what_others_notify_is_ignored_and_counted() {
    let bus = PgBus::new(&store(), fresh_name());
    let mut subscription = subscribe(&bus, bus.destination()).await;
    let epoch = bus.status().health().epoch;

    let other = client(&raw_config()).await;
    for payload in ["", "hello", "{\"id\":1}", "1", "1AAAA", "2AAAA", "3AAAA", "größe"] {
        other.execute("SELECT pg_notify($1, $2)", &[&bus.destination(), &payload]).await.unwrap();
    }
    publish(&bus, ["ours"]).await;

    assert_eq!(next(&mut subscription, 1).await, ["ours"]);
    assert_eq!(bus.ignored(), 8);
    assert!(bus.status().is_healthy() && bus.status().health().epoch == epoch);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn all_subscriptions_of_a_handle_share_a_session_that_listens_to_what_is_wanted() {
    let name = fresh_name();
    let bus = PgBus::new(&store(), "unused").direct(config().application_name(name.as_str()));
    let sessions = client(&raw_config()).await;
    let last = async || {
        let statement = "SELECT query FROM pg_stat_activity WHERE application_name = $1";
        sessions.query(statement, &[&name]).await.unwrap().iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>()
    };

    let (a, b) = (format!("{name}-a"), format!("{name}-b"));
    let first = subscribe(&bus, &a).await;
    let second = subscribe(&bus, &a).await;
    let _other = subscribe(&bus, &b).await;
    assert_eq!(last().await, [format!("LISTEN \"{b}\";")]);
    drop(first);
    let third = subscribe(&bus, &a).await;
    assert_eq!(last().await, [format!("LISTEN \"{b}\";")], "another subscriber was left");
    drop((second, third));
    // Whoever subscribes waits for what was asked for before.
    let _more = subscribe(&bus, &format!("{name}-c")).await;

    let statement = last().await.remove(0);
    assert!(statement.contains(&format!("UNLISTEN \"{a}\"")) || statement.contains("-c"), "{statement}");
    let mut again = subscribe(&bus, &a).await;
    bus.topic(a.as_str()).publish("x").await.unwrap();
    assert_eq!(next(&mut again, 1).await, ["x"]);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_handle_that_is_dropped_or_closed_leaves_no_session() {
    let name = fresh_name();
    let config = config().application_name(name.as_str());
    let sessions = client(&raw_config()).await;
    let gone = async || {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
        while sessions.query_one(count, &[&name]).await.unwrap().get::<_, i64>(0) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let (closed, dropped) =
        (PgBus::new(&PgStore::new(config.clone()), fresh_name()), PgBus::new(&PgStore::new(config), fresh_name()));
    let mut subscriptions = Vec::new();
    for bus in [&closed, &dropped] {
        subscriptions.push(subscribe(bus, bus.destination()).await);
        publish(bus, ["x"]).await;
    }

    closed.close().await.unwrap();
    subscriptions.truncate(1);
    drop(dropped);

    tokio::time::timeout(crate::support::PATIENCE, gone()).await.expect("a session is left");
    let error = try_publish(&closed, ["y"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    let error = closed.subscribe("t", SubscribeOptions::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(!closed.status().is_healthy());
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_subscriber_that_does_not_look_never_stops_the_connection() {
    let bus = PgBus::new(&store(), fresh_name());
    let block = chappe_core::backend::Overflow::Block { timeout: Duration::from_secs(600) };
    let _idle = bus.subscribe(bus.destination(), SubscribeOptions::new().overflow(block)).await.unwrap();
    let mut other = subscribe(&bus, "another topic").await;

    for _ in 0..20 {
        publish(&bus, vec![vec![7_u8; 5_000]; 100]).await;
    }
    bus.topic("another topic").publish("x").await.unwrap();

    assert_eq!(next(&mut other, 1).await, ["x"]);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_delay_is_refused() {
    let bus = PgBus::new(&store(), fresh_name());
    let mut message = Message::new("late");
    message.set_delay(Duration::from_secs(1));

    let error = bus.topic("t").publish(message).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_subscription_may_be_given_up_while_it_is_being_made() {
    let bus = PgBus::new(&store(), fresh_name());

    for _ in 0..20 {
        let subscribing = bus.subscribe(bus.destination(), SubscribeOptions::new());
        drop(tokio::time::timeout(Duration::from_micros(fastrand::u64(0..3000)), subscribing).await);
    }
    let mut subscription = subscribe(&bus, bus.destination()).await;
    publish(&bus, ["x"]).await;

    assert_eq!(next(&mut subscription, 1).await, ["x"]);
    let mut signals = Vec::new();
    bus.close().await.unwrap();
    assert!(matches!(subscription.recv(1, &mut signals).await, Ok(chappe_core::backend::Fetch::Stopped)));
}
