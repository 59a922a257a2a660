//! What comes of lost connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chappe_conformance::Direction;
use chappe_core::backend::{Backend, Broadcast, PublishResult, ReconnectGuard, SubscribeOptions};
use chappe_core::{ErrorKind, Message};
use chappe_postgres::{PgBus, PgStore};
use tokio::time::{Instant, timeout};

use crate::cluster::Cluster;
use crate::support::{
    becomes, client, config, fresh_name, next, publish, raw_config, relay, relayed, store, subscribe, try_publish,
};

/// How soon a silent connection must be noticed.
const NOTICED: Duration = Duration::from_secs(20);

fn counter(bus: &PgBus) -> (Arc<AtomicU64>, ReconnectGuard) {
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let guard = bus.status().on_reconnect(move |_| _ = counted.fetch_add(1, Ordering::SeqCst));
    (calls, guard)
}

/// Ends all sessions of a name.
async fn terminate(name: &str) {
    let statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
    let ended = client(&raw_config()).await.query(statement, &[&name]).await.unwrap();
    assert!(!ended.is_empty(), "there was no session {name}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_terminated_listener_listens_again_and_tells_of_the_gap() {
    let (topic, name) = (fresh_name(), fresh_name());
    let bus = PgBus::new(&store(), topic.as_str()).direct(config().application_name(name.as_str()));
    let mut subscriptions = vec![subscribe(&bus, &topic).await, subscribe(&bus, &topic).await];
    let mut elsewhere = subscribe(&bus, &format!("{topic}-2")).await;
    publish(&bus, ["before"]).await;
    for subscription in &mut subscriptions {
        assert_eq!(next(subscription, 1).await, ["before"]);
    }
    let (first, _guard) = counter(&bus);
    let (second, _other_guard) = counter(&bus);
    let (third, dropped) = counter(&bus);
    drop(dropped);

    terminate(&name).await;
    becomes(&bus, true, 2).await;
    publish(&bus, ["after"]).await;

    for subscription in &mut subscriptions {
        assert_eq!(next(subscription, 2).await, ["G", "after"]);
    }
    assert_eq!(next(&mut elsewhere, 1).await, ["G"]);
    let calls = [first, second, third].map(|calls| calls.load(Ordering::SeqCst));
    assert_eq!((calls, bus.status().health().epoch), ([1, 1, 0], 2));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn every_reconnect_is_a_gap_of_its_own_and_new_subscribers_have_none() {
    let (topic, name) = (fresh_name(), fresh_name());
    let bus = PgBus::new(&store(), topic.as_str()).direct(config().application_name(name.as_str()));
    let mut subscription = subscribe(&bus, &topic).await;

    for epoch in 2..=4 {
        terminate(&name).await;
        becomes(&bus, true, epoch).await;
        publish(&bus, [epoch.to_string()]).await;
        assert_eq!(next(&mut subscription, 2).await, ["G".to_owned(), epoch.to_string()]);
    }
    let mut late = subscribe(&bus, &topic).await;
    publish(&bus, ["5"]).await;

    assert_eq!(next(&mut late, 1).await, ["5"]);
    assert_eq!(next(&mut subscription, 1).await, ["5"]);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_silent_connection_is_noticed_and_replaced() {
    let (relay, topic) = (relay().await, fresh_name());
    let bus = PgBus::new(&store(), topic.as_str()).direct(relayed(&relay));
    let mut subscription = subscribe(&bus, &topic).await;
    let (calls, _guard) = counter(&bus);
    let start = Instant::now();

    relay.blackhole(Direction::Both);
    publish(&bus, ["missed"]).await;
    becomes(&bus, false, 1).await;
    let noticed = start.elapsed();
    relay.heal().await;
    becomes(&bus, true, 2).await;
    publish(&bus, ["after"]).await;

    assert!(noticed < NOTICED, "it took {noticed:?}");
    assert_eq!(next(&mut subscription, 2).await, ["G", "after"]);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_restarted_server_is_found_again() {
    let cluster = Cluster::start().await;
    let bus = PgBus::new(&PgStore::from_url(&cluster.url()).unwrap(), fresh_name());
    let mut subscription = subscribe(&bus, bus.destination()).await;
    publish(&bus, ["before".to_owned(), "x".repeat(10_000)]).await;
    assert_eq!(next(&mut subscription, 2).await, ["before", "10000 bytes"]);
    let (calls, _guard) = counter(&bus);

    cluster.crash();
    becomes(&bus, false, 1).await;
    let refused = try_publish(&bus, ["nobody is there"]).await;
    let unsubscribed = bus.subscribe("another topic", SubscribeOptions::new()).await;
    cluster.again().await;
    becomes(&bus, true, 2).await;
    publish(&bus, ["after".to_owned(), "x".repeat(10_001)]).await;

    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(unsubscribed.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(next(&mut subscription, 3).await, ["G", "after", "10001 bytes"]);
    assert!(calls.load(Ordering::SeqCst) >= 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_publish_whose_answer_is_lost_is_ambiguous_and_the_next_goes_through() {
    let (relay, topic) = (relay().await, fresh_name());
    let bus = PgBus::new(&PgStore::new(relayed(&relay)), topic.as_str()).direct(config());
    let mut subscription = subscribe(&bus, &topic).await;
    publish(&bus, ["1"]).await;

    relay.cut_after(1, Direction::ToClient);
    let results = try_publish(&bus, ["2", "3"]).await.unwrap();
    publish(&bus, ["4"]).await;

    for result in &results {
        let PublishResult::Failed(error) = result else { panic!("{result:?}") };
        assert!(error.is_ambiguous(), "{error:?}");
    }
    // They did go through, and nothing is taken for missing.
    assert_eq!(next(&mut subscription, 4).await, ["1", "2", "3", "4"]);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_publish_that_did_not_go_through_and_was_not_refused_is_a_gap() {
    let (relay, topic) = (relay().await, fresh_name());
    let bus = PgBus::new(&PgStore::new(relayed(&relay)), topic.as_str()).direct(config());
    let mut subscription = subscribe(&bus, &topic).await;
    publish(&bus, ["1"]).await;

    relay.cut_after(10, Direction::ToServer);
    let results = try_publish(&bus, ["lost"]).await.unwrap();
    publish(&bus, ["3"]).await;

    assert!(matches!(&results[0], PublishResult::Failed(error) if error.is_ambiguous()), "{results:?}");
    assert_eq!(next(&mut subscription, 3).await, ["1", "G", "3"]);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_publish_that_is_given_up_leaves_the_bus_usable() {
    let (relay, topic) = (relay().await, fresh_name());
    let bus = PgBus::new(&PgStore::new(relayed(&relay)), topic.as_str()).direct(config());
    let mut subscription = subscribe(&bus, &topic).await;
    publish(&bus, ["1"]).await;

    relay.delay(Duration::from_millis(200));
    let given_up = timeout(Duration::from_millis(50), try_publish(&bus, [Message::new("2")])).await;
    relay.heal().await;
    publish(&bus, ["3"]).await;

    assert!(given_up.is_err());
    assert_eq!(next(&mut subscription, 3).await, ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn nothing_is_missing_without_a_gap_while_connections_are_cut() {
    let (relay, topic) = (relay().await, fresh_name());
    let bus = PgBus::new(&store(), topic.as_str()).direct(relayed(&relay));
    let options = SubscribeOptions::new().buffer(std::num::NonZeroUsize::new(100_000).unwrap());
    let mut subscription = bus.subscribe(&topic, options).await.unwrap();
    let publisher = bus.clone();
    let publishing = tokio::spawn(async move {
        for number in 0..3_000_u64 {
            publish(&publisher, [number.to_string()]).await;
        }
        // The end may be missed like anything else.
        loop {
            publish(&publisher, ["end"]).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });

    let (mut expected, mut gaps) = (Some(0_u64), 0);
    loop {
        let signal = next(&mut subscription, 1).await.remove(0);
        match signal.as_str() {
            "end" => break,
            "G" => {
                gaps += 1;
                expected = None;
            }
            number => {
                let number = number.parse().unwrap();
                assert!(expected.is_none_or(|expected| expected == number), "{number} came instead of {expected:?}");
                expected = Some(number + 1);
                if number % 700 == 699 {
                    relay.cut();
                }
            }
        }
    }

    publishing.abort();
    assert!(gaps > 0, "no connection was cut");
}
