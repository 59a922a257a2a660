//! The conformance suite of buses, as it is and erased.

use std::sync::Arc;
use std::time::Duration;

use chappe_conformance::{BroadcastHarness, BusFixture, Faults, Relay, Timing, run_broadcast};
use chappe_core::backend::Broadcast;
use chappe_core::{DynBroadcast, Error, ErrorKind};
use chappe_redis::RedisBus;

use crate::support::{address_of, client_of};

/// Makes a bus of type `B` of every handle on the server that a variable names.
struct Redis<F>(&'static str, F);

const REDIS: &str = "CHAPPE_TEST_REDIS";
const VALKEY: &str = "CHAPPE_TEST_VALKEY";

impl<B, F> BroadcastHarness for Redis<F>
where
    B: Broadcast,
    F: Fn(RedisBus) -> B + Copy + Send + Sync + 'static,
{
    type Bus = B;

    async fn bus(&self, topic: &str) -> Result<BusFixture<B>, Error> {
        let relay =
            Relay::to(address_of(self.0)).await.map_err(|error| Error::new(ErrorKind::Other, error.to_string()))?;
        let relay = Arc::new(relay);
        let first = RedisBus::new(&client_of(relay.addr()), topic);
        let wrap = self.1;
        let disconnect = move || {
            relay.cut();
            std::future::ready(())
        };
        let open = move || std::future::ready(Ok(wrap(first.fork())));
        Ok(BusFixture::new(open).faults(Faults::new().disconnect(disconnect)))
    }

    fn timing(&self) -> Timing {
        let mut timing = Timing::default();
        timing.patience = Duration::from_secs(30);
        timing
    }

    fn parallel(&self) -> usize {
        4
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn the_bus_conforms() {
    run_broadcast(&Redis(REDIS, |bus| bus)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn the_erased_bus_conforms() {
    run_broadcast(&Redis(REDIS, DynBroadcast::new)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Valkey: run by cargo xtask test"]
async fn the_bus_conforms_on_valkey() {
    run_broadcast(&Redis(VALKEY, |bus| bus)).await;
}
