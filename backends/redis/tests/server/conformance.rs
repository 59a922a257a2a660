//! The conformance suite, as it is and erased.

use std::sync::Arc;
use std::time::Duration;

use chappe_conformance::{Erased, Faults, Fixture, FixtureOf, Harness, Relay, Setup, Timing, run_all};
use chappe_core::{Error, ErrorKind};
use chappe_redis::{RedisPublisher, RedisQueue, RedisTopic};

use crate::support::{Own, address_of, client_of};

/// What no queue behind a network passes.
const WEIGHTS: (&str, &str) = (
    "queues_share_a_server_by_weight",
    "a round trip takes longer than the handlers of the case, so that the heavier queue runs dry meanwhile",
);

/// Queues of the server that a variable names, behind a relay that breaks connections.
struct Shared(&'static str);

const REDIS: Shared = Shared("CHAPPE_TEST_REDIS");
const VALKEY: Shared = Shared("CHAPPE_TEST_VALKEY");

/// Queues of a server of their own, that is killed and started again.
struct Killed;

impl Harness for Shared {
    type Queue = RedisQueue;
    type Publisher = RedisPublisher;
    type Topic = RedisTopic;

    async fn queue(&self, setup: &Setup) -> Result<FixtureOf<Self>, Error> {
        let relay =
            Relay::to(address_of(self.0)).await.map_err(|error| Error::new(ErrorKind::Other, error.to_string()))?;
        let relay = Arc::new(relay);
        let cut = Arc::clone(&relay);
        let faults = Faults::new().disconnect(move || {
            cut.cut();
            std::future::ready(())
        });
        Ok(fixture(relay.addr(), setup).faults(faults).keep(relay))
    }

    fn timing(&self) -> Timing {
        timing()
    }

    fn parallel(&self) -> usize {
        4
    }

    fn exemptions(&self) -> &[(&'static str, &'static str)] {
        &[WEIGHTS]
    }
}

impl Harness for Killed {
    type Queue = RedisQueue;
    type Publisher = RedisPublisher;
    type Topic = RedisTopic;

    async fn queue(&self, setup: &Setup) -> Result<FixtureOf<Self>, Error> {
        let server = Arc::new(Own::start(true).await);
        let killed = Arc::clone(&server);
        let faults = Faults::new().restart(move || {
            let server = Arc::clone(&killed);
            async move {
                server.kill();
                server.revive().await;
            }
        });
        Ok(fixture(server.address(), setup).faults(faults).keep(server))
    }

    fn timing(&self) -> Timing {
        // What writes to a disk may stand still for longer than what does not.
        let mut timing = timing();
        timing.silence = Duration::from_secs(1);
        timing
    }

    fn volume(&self) -> usize {
        1_000
    }

    fn parallel(&self) -> usize {
        4
    }

    fn exemptions(&self) -> &[(&'static str, &'static str)] {
        &[WEIGHTS]
    }
}

fn timing() -> Timing {
    let mut timing = Timing::default();
    timing.patience = Duration::from_secs(30);
    timing.silence = Duration::from_millis(400);
    timing.limit = Duration::from_secs(180);
    timing
}

fn fixture(address: std::net::SocketAddr, setup: &Setup) -> FixtureOf<Shared> {
    let queue = RedisQueue::new(&client_of(address), setup.name.as_str()).lease(setup.lease);
    let publisher = queue.publisher();
    let topic = publisher.topic().timeout(Duration::from_secs(30));
    let (name, lease) = (setup.name.clone(), setup.lease);
    let open = move || {
        let queue = RedisQueue::new(&client_of(address), name.as_str()).lease(lease);
        std::future::ready(Ok(queue))
    };
    let dead = queue.dead_letter();
    Fixture::new(publisher, topic, open).dead_letter(move || std::future::ready(Ok(dead.clone())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn queues_conform() {
    run_all(&REDIS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn erased_queues_conform() {
    run_all(&Erased(REDIS)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Valkey: run by cargo xtask test"]
async fn queues_on_valkey_conform() {
    run_all(&VALKEY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn queues_of_a_server_that_is_killed_conform() {
    run_all(&Killed).await;
}
