//! What is told to those who may not, or who look in the wrong place.

use chappe_core::ErrorKind;
use chappe_core::backend::{Backend, Broadcast, PublishResult, SubscribeOptions};
use chappe_postgres::{PgBus, PgConfig, PgStore};
use tokio_postgres::{Client, Config};

use crate::support::{client, fresh_name, next, publish, raw_config, subscribe, try_publish};

/// A database of its own, and a user who may do nothing in it but connect.
struct Guest {
    owner: Config,
    guest: Config,
    client: Client,
}

impl Guest {
    async fn new() -> Self {
        let name = fresh_name();
        let server = client(&raw_config()).await;
        for statement in [format!("CREATE DATABASE {name}"), format!("CREATE ROLE {name} LOGIN")] {
            server.batch_execute(&statement).await.unwrap();
        }
        let owner = raw_config().dbname(&name).clone();
        let guest = owner.clone().user(&name).clone();
        let client = client(&owner).await;
        Self { owner, guest, client }
    }

    fn owner(&self, topic: &str) -> PgBus {
        PgBus::new(&PgStore::new(PgConfig::new(&self.owner)), topic)
    }

    fn guest(&self, topic: &str) -> PgBus {
        PgBus::new(&PgStore::new(PgConfig::new(&self.guest)), topic)
    }

    async fn grant(&self, rights: &str) {
        let user = self.guest.get_user().unwrap();
        let grant = format!("GRANT USAGE ON SCHEMA chappe TO {user}; GRANT {rights} ON chappe.bus_spill TO {user}");
        self.client.batch_execute(&grant).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn who_may_not_make_the_table_publishes_small_messages_and_is_told_of_the_others() {
    let place = Guest::new().await;
    let (guest, owner) = (place.guest("t"), place.owner("t"));
    let mut subscription = subscribe(&guest, "t").await;
    let messages = || ["1".to_owned(), "2".repeat(9_000), "3".to_owned()];

    let without_table = try_publish(&guest, messages()).await.unwrap();
    owner.create_spill_table().await.unwrap();
    owner.create_spill_table().await.unwrap();
    guest.create_spill_table().await.unwrap();
    let without_right = try_publish(&guest, messages()).await.unwrap();
    place.grant("INSERT, DELETE").await;
    let unread = try_publish(&guest, messages()).await.unwrap();

    for (results, says) in
        [(&without_table, "make a table for large messages"), (&without_right, "permission denied for")]
    {
        let PublishResult::Failed(error) = &results[1] else { panic!("{results:?}") };
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains(says), "{error}");
        assert!(matches!((&results[0], &results[2]), (PublishResult::Accepted(_), PublishResult::Accepted(_))));
    }
    assert!(matches!(unread[1], PublishResult::Accepted(_)));
    // It may not select.
    assert_eq!(next(&mut subscription, 7).await, ["1", "3", "1", "3", "1", "G", "3"]);
    place.grant("SELECT").await;
    publish(&guest, messages()).await;
    assert_eq!(next(&mut subscription, 3).await, ["1", "9000 bytes", "3"]);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn many_make_the_table_at_once() {
    let place = Guest::new().await;
    let publishing = (0..8).map(|_| {
        let bus = place.owner("t");
        async move { publish(&bus, ["x".repeat(9_000)]).await }
    });

    futures_util::future::join_all(publishing).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_wrong_place_is_told_at_once_without_secrets() {
    let config = |change: fn(&mut Config)| {
        let mut config = raw_config();
        config.password("hunter2");
        change(&mut config);
        PgBus::new(&PgStore::new(PgConfig::new(&config)), "t")
    };
    let missing = config(|config| _ = config.dbname("no_such_database"));
    let stranger = config(|config| _ = config.user("nobody_we_know"));
    let nowhere =
        config(|config| *config = Config::new().host("127.0.0.1").port(1).user("u").password("hunter2").clone());

    for (bus, kind) in
        [(missing, ErrorKind::NotFound), (stranger, ErrorKind::PermissionDenied), (nowhere, ErrorKind::Unavailable)]
    {
        let subscribing = bus.subscribe("t", SubscribeOptions::new()).await.unwrap_err();
        let publishing = try_publish(&bus, ["x"]).await.unwrap_err();

        assert_eq!((subscribing.kind(), publishing.kind()), (kind, kind), "{subscribing} {publishing}");
        assert!(!publishing.is_ambiguous() && !bus.status().is_healthy());
        let told = format!("{subscribing:?} {publishing:?} {:?} {:?}", bus.status(), bus);
        assert!(!told.contains("hunter2"), "{told}");
    }
}
