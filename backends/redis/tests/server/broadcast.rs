//! The conformance suite of buses, as it is and erased.

use std::sync::Arc;
use std::time::Duration;

use chappe_conformance::{BroadcastHarness, BusFixture, Faults, Relay, Timing, run_broadcast};
use chappe_core::backend::Broadcast;
use chappe_core::{DynBroadcast, Error, ErrorKind};
use chappe_redis::RedisBus;

use crate::support::{address, client_of};

/// Makes a bus of type `B` of every handle.
struct Redis<F>(F);

impl<B, F> BroadcastHarness for Redis<F>
where
    B: Broadcast,
    F: Fn(RedisBus) -> B + Copy + Send + Sync + 'static,
{
    type Bus = B;

    async fn bus(&self, topic: &str) -> Result<BusFixture<B>, Error> {
        let relay = Relay::to(address()).await.map_err(|error| Error::new(ErrorKind::Other, error.to_string()))?;
        let relay = Arc::new(relay);
        let first = RedisBus::new(&client_of(relay.addr()), topic);
        let wrap = self.0;
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
    run_broadcast(&Redis(|bus| bus)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn the_erased_bus_conforms() {
    run_broadcast(&Redis(DynBroadcast::new)).await;
}
