//! Buses, statements of one's own, and what waits for a subscriber.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chappe_conformance::Relay;
use chappe_core::backend::{
    Backend, Broadcast, Outgoing, PublishResult, Publisher, Signal, SubscribeOptions, Subscription,
};
use chappe_core::{Error, Message};
use chappe_postgres::{PgBus, PgConfig, PgStore, PgSubscription};
use tokio::time::timeout;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

/// Names the URL of a server, like `postgres://postgres@127.0.0.1:5432/postgres`.
const URL: &str = "CHAPPE_TEST_POSTGRES";

/// How long what must happen may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How to connect to the server.
pub(crate) fn raw_config() -> Config {
    let url = std::env::var(URL).unwrap_or_else(|_| panic!("{URL} is not set; it names the URL of a server"));
    url.parse().unwrap()
}

pub(crate) fn config() -> PgConfig {
    PgConfig::new(&raw_config())
}

/// Where the bus of the server is.
pub(crate) fn store() -> PgStore {
    PgStore::new(config())
}

/// How to connect to the server through a relay.
pub(crate) fn relayed(relay: &Relay) -> PgConfig {
    PgConfig::new(&at(&raw_config(), relay.addr()))
}

/// A relay to the server.
pub(crate) async fn relay() -> Relay {
    let config = raw_config();
    let Host::Tcp(host) = &config.get_hosts()[0] else { panic!("the server has no TCP address") };
    Relay::to((host.as_str(), config.get_ports()[0])).await.unwrap()
}

/// The same configuration for a server elsewhere.
pub(crate) fn at(config: &Config, address: SocketAddr) -> Config {
    let mut moved = Config::new();
    moved.host(address.ip().to_string()).port(address.port());
    moved.user(config.get_user().unwrap()).dbname(config.get_dbname().unwrap());
    moved
}

/// A connection of one's own.
pub(crate) async fn client(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) fn fresh_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("chappe_{:x}_{count}_{:08x}", std::process::id(), fastrand::u32(..))
}

pub(crate) async fn subscribe(bus: &PgBus, topic: &str) -> PgSubscription {
    bus.subscribe(topic, SubscribeOptions::new()).await.unwrap()
}

/// Publishes messages in one batch to the topic of the handle.
pub(crate) async fn publish<M: Into<Message>>(bus: &PgBus, messages: impl IntoIterator<Item = M>) {
    for result in try_publish(bus, messages).await.unwrap() {
        assert!(matches!(result, PublishResult::Accepted(_)), "{result:?}");
    }
}

pub(crate) async fn try_publish<M: Into<Message>>(
    bus: &PgBus,
    messages: impl IntoIterator<Item = M>,
) -> Result<Vec<PublishResult>, Error> {
    let mut batch: Vec<_> = messages.into_iter().map(|message| Outgoing::new(message.into())).collect();
    bus.publish(&mut batch).await?;
    Ok(batch.into_iter().map(|entry| entry.result).collect())
}

/// The next signals, which must come: bodies of messages, `L` and a number for what was missed, `G` for gaps.
pub(crate) async fn next(subscription: &mut PgSubscription, count: usize) -> Vec<String> {
    signals(subscription, count).await.iter().map(show).collect()
}

pub(crate) async fn signals(subscription: &mut PgSubscription, count: usize) -> Vec<Signal> {
    let mut signals = Vec::new();
    while signals.len() < count {
        let wanted = count - signals.len();
        let received = timeout(PATIENCE, subscription.recv(wanted, &mut signals)).await;
        received.unwrap_or_else(|_| panic!("only these came: {signals:?}")).unwrap();
    }
    signals
}

/// Whether nothing comes for a while.
pub(crate) async fn is_silent(subscription: &mut PgSubscription) -> bool {
    timeout(Duration::from_millis(300), subscription.recv(1, &mut Vec::new())).await.is_err()
}

/// Waits until the health of a bus is so.
pub(crate) async fn becomes(bus: &PgBus, healthy: bool, epoch: u64) {
    let mut health = bus.status().watch();
    let so = health.wait_for(|health| health.healthy == healthy && health.epoch >= epoch);
    timeout(PATIENCE, so).await.unwrap_or_else(|_| panic!("{:?}", bus.status())).unwrap();
}

fn show(signal: &Signal) -> String {
    match signal {
        Signal::Message(message) => match std::str::from_utf8(message.body()) {
            Ok(text) if text.len() < 100 => text.to_owned(),
            _ => format!("{} bytes", message.body().len()),
        },
        Signal::Lagged(missed) => format!("L{missed}"),
        Signal::Gap => "G".to_owned(),
        other => format!("{other:?}"),
    }
}
