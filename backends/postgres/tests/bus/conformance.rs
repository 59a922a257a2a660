//! The conformance suite on the bus, as it is and erased, behind a relay.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use chappe_conformance::{BroadcastHarness, BusFixture, Faults, Timing, run_broadcast};
use chappe_core::backend::Broadcast;
use chappe_core::{DynBroadcast, Error};
use chappe_postgres::{PgBus, PgStore};

use crate::support::{relay, relayed};

/// Makes a bus of type `B` of every handle.
struct Postgres<F>(F);

impl<B, F> BroadcastHarness for Postgres<F>
where
    B: Broadcast,
    F: Fn(PgBus) -> B + Copy + Send + Sync + 'static,
{
    type Bus = B;

    async fn bus(&self, topic: &str) -> Result<BusFixture<B>, Error> {
        let relay = Arc::new(relay().await);
        let (config, topic) = (relayed(&relay), topic.to_owned());
        let wrap = self.0;
        let open = move || ready(Ok(wrap(PgBus::new(&PgStore::new(config.clone()), topic.as_str()))));
        let cut = Arc::clone(&relay);
        let disconnect = move || {
            cut.cut();
            ready(())
        };
        Ok(BusFixture::new(open).faults(Faults::new().disconnect(disconnect)).keep(relay))
    }

    fn timing(&self) -> Timing {
        let mut timing = Timing::default();
        timing.patience = Duration::from_secs(30);
        timing.silence = Duration::from_millis(300);
        timing
    }

    fn parallel(&self) -> usize {
        4
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn the_bus_conforms() {
    run_broadcast(&Postgres(|bus| bus)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn the_erased_bus_conforms() {
    run_broadcast(&Postgres(DynBroadcast::new)).await;
}
