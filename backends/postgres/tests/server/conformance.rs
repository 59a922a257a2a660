//! The conformance suite on plain, ordered and erased queues.

use std::sync::Arc;
use std::time::Duration;

use chappe_conformance::{Erased, Faults, Fixture, FixtureOf, Harness, Relay, Setup, Timing, cases, run_all};
use chappe_core::{Error, ErrorKind};
use chappe_postgres::{PgPublisher, PgQueue, PgStore, PgTopic};

use crate::cluster::Cluster;
use crate::support::{store_at, url};

/// What no queue behind a network passes.
const WEIGHTS: (&str, &str) = (
    "queues_share_a_server_by_weight",
    "a round trip takes longer than the handlers of the case, so that the heavier queue runs dry meanwhile",
);

/// Queues of the shared server, but for the cases about order without it, or all with it.
struct Shared {
    ordered: bool,
}

/// Queues of a server of its own, for the cases that restart it.
struct Own {
    cluster: Arc<Cluster>,
    exemptions: Vec<(&'static str, &'static str)>,
}

impl Harness for Shared {
    type Queue = PgQueue;
    type Publisher = PgPublisher;
    type Topic = PgTopic;

    async fn queue(&self, setup: &Setup) -> Result<FixtureOf<Self>, Error> {
        fixture(&url(), setup, self.ordered || setup.ordered, Faults::new()).await
    }

    fn timing(&self) -> Timing {
        timing()
    }

    fn parallel(&self) -> usize {
        6
    }

    fn volume(&self) -> usize {
        5_000
    }

    fn exemptions(&self) -> &[(&'static str, &'static str)] {
        &[WEIGHTS]
    }
}

impl Own {
    async fn start() -> Self {
        let other = "does not restart the server";
        let names = cases::<Shared>().into_iter().map(|(_, name)| name);
        let exemptions = names.filter(|name| !name.contains("restart")).map(|name| (name, other)).collect();
        Self { cluster: Arc::new(Cluster::start().await), exemptions }
    }
}

impl Harness for Own {
    type Queue = PgQueue;
    type Publisher = PgPublisher;
    type Topic = PgTopic;

    async fn queue(&self, setup: &Setup) -> Result<FixtureOf<Self>, Error> {
        let cluster = Arc::clone(&self.cluster);
        let faults = Faults::new().restart(move || {
            let cluster = Arc::clone(&cluster);
            async move {
                cluster.crash();
                cluster.again().await;
            }
        });
        fixture(&self.cluster.url(), setup, setup.ordered, faults).await
    }

    fn timing(&self) -> Timing {
        timing()
    }

    fn exemptions(&self) -> &[(&'static str, &'static str)] {
        &self.exemptions
    }
}

fn timing() -> Timing {
    let mut timing = Timing::default();
    timing.patience = Duration::from_secs(40);
    timing.limit = Duration::from_secs(240);
    timing
}

async fn fixture(url: &str, setup: &Setup, ordered: bool, faults: Faults) -> Result<FixtureOf<Shared>, Error> {
    let direct = store_at(url).await;
    let (_, address) = url.split_once('@').expect("the URL has a user");
    let (address, database) = address.split_once('/').expect("the URL has a database");
    let relay =
        Relay::to(address).await.map_err(|error| Error::new(ErrorKind::Other, "no relay").with_source(error))?;
    let store = PgStore::from_url(&format!("postgres://postgres@{}/{database}", relay.addr()))?;
    let queue = PgQueue::new(&store, &setup.name).lease(setup.lease).ordered(ordered);
    let queue = if setup.dead_letter { queue } else { queue.without_dead_letter() };
    let publisher = queue.publisher().max_message_bytes(1 << 20);
    // The machine is busy.
    let topic = publisher.topic().timeout(Duration::from_secs(60));
    let dead = PgQueue::new(&direct, format!("{}-dead", setup.name)).lease(setup.lease).without_dead_letter();
    let relay = Arc::new(relay);
    let cut = Arc::clone(&relay);
    let faults = faults.disconnect(move || {
        cut.cut();
        std::future::ready(())
    });
    // A handle of its own each time, as another process would have.
    let open = move || std::future::ready(Ok(queue.clone().poll(Duration::from_secs(1))));
    let open_dead = move || std::future::ready(Ok(dead.clone().poll(Duration::from_secs(1))));
    Ok(Fixture::new(publisher, topic, open).dead_letter(open_dead).faults(faults).keep(relay))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn plain_queues_conform() {
    run_all(&Shared { ordered: false }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn ordered_queues_conform() {
    run_all(&Shared { ordered: true }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn erased_queues_conform() {
    run_all(&Erased(Shared { ordered: false })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn queues_of_a_server_that_crashes_conform() {
    run_all(&Erased(Own::start().await)).await;
}
