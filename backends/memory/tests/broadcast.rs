//! The conformance suite on the memory bus: as it is, and erased.

use std::future::ready;
use std::sync::{Arc, Mutex};

use chappe_conformance::{BroadcastHarness, BusFixture, Faults, run_broadcast};
use chappe_core::backend::Broadcast;
use chappe_core::{DynBroadcast, Error};
use chappe_memory::MemoryBus;

/// Makes a bus of type `B` of every fork.
struct Memory<F>(F);

impl<B, F> BroadcastHarness for Memory<F>
where
    B: Broadcast,
    F: Fn(MemoryBus) -> B + Copy + Send + Sync + 'static,
{
    type Bus = B;

    async fn bus(&self, topic: &str) -> Result<BusFixture<B>, Error> {
        let first = MemoryBus::new(topic.to_owned());
        let handles = Arc::new(Mutex::new(Vec::new()));
        let opened = Arc::clone(&handles);
        let wrap = self.0;
        let open = move || {
            let handle = first.fork();
            opened.lock().expect("no test panics while it holds it").push(handle.clone());
            ready(Ok(wrap(handle)))
        };
        let disconnect = move || {
            for handle in handles.lock().expect("no test panics while it holds it").iter() {
                handle.set_healthy(false);
                handle.set_healthy(true);
            }
            ready(())
        };
        Ok(BusFixture::new(open).faults(Faults::new().disconnect(disconnect)))
    }
}

#[tokio::test(start_paused = true)]
async fn the_memory_bus_conforms() {
    run_broadcast(&Memory(|bus| bus)).await;
}

#[tokio::test(start_paused = true)]
async fn the_erased_memory_bus_conforms() {
    run_broadcast(&Memory(DynBroadcast::new)).await;
}
