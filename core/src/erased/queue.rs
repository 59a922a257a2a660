//! [`DynQueue`] and [`DynConsumer`].

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::receipt::{Receipts, Slot};
use crate::Error;
use crate::backend::{
    Backend, Capabilities, ConsumeOptions, Consumer, Delivery, Depth, Fetch, Queue, Settlement, Status,
};

/// Any [`Queue`]. A handle; clones share the queue.
///
/// The receipts of the queue behind it are kept here until their delivery is settled for good, that is
/// until a final action is answered with `Done` or `Lost`, or `Forget` with anything at all. A
/// [`Slot`] of a delivery that is over is `Lost`.
#[derive(Clone)]
pub struct DynQueue(Arc<dyn ObjectQueue>);

impl DynQueue {
    /// Erases the type of a queue.
    pub fn new<Q: Queue>(queue: Q) -> Self {
        Self(Arc::new(Erased { queue, receipts: Arc::new(Receipts::new()) }))
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for DynQueue {
    fn status(&self) -> &Status {
        self.0.status()
    }

    fn system(&self) -> &'static str {
        self.0.system()
    }

    fn destination(&self) -> &str {
        self.0.destination()
    }
}

#[deny(clippy::missing_trait_methods)]
impl Queue for DynQueue {
    type Receipt = Slot;
    type Consumer = DynConsumer;

    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    async fn consume(&self, options: ConsumeOptions) -> Result<DynConsumer, Error> {
        self.0.consume(options).await
    }

    async fn settle(&self, batch: &mut [Settlement<Slot>]) -> Result<(), Error> {
        self.0.settle(batch).await
    }

    async fn depth(&self) -> Result<Depth, Error> {
        self.0.depth().await
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.close().await
    }
}

impl fmt::Debug for DynQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynQueue").field("system", &self.system()).field("destination", &self.destination()).finish()
    }
}

/// The [`Consumer`] of a [`DynQueue`].
pub struct DynConsumer(Box<dyn ObjectConsumer>);

#[deny(clippy::missing_trait_methods)]
impl Consumer for DynConsumer {
    type Receipt = Slot;

    async fn fetch(&mut self, max: usize, out: &mut Vec<Delivery<Slot>>) -> Result<Fetch, Error> {
        self.0.fetch(max, out).await
    }
}

impl fmt::Debug for DynConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynConsumer").finish_non_exhaustive()
    }
}

// Private, and not implemented for queues themselves: their methods would clash with those of `Queue`.
trait ObjectQueue: Backend {
    fn capabilities(&self) -> &Capabilities;
    fn consume(&self, options: ConsumeOptions) -> BoxFuture<'_, Result<DynConsumer, Error>>;
    fn settle<'a>(&'a self, batch: &'a mut [Settlement<Slot>]) -> BoxFuture<'a, Result<(), Error>>;
    fn depth(&self) -> BoxFuture<'_, Result<Depth, Error>>;
    fn close(&self) -> BoxFuture<'_, Result<(), Error>>;
}

struct Erased<Q: Queue> {
    queue: Q,
    receipts: Arc<Receipts<Q::Receipt>>,
}

#[deny(clippy::missing_trait_methods)]
impl<Q: Queue> Backend for Erased<Q> {
    fn status(&self) -> &Status {
        self.queue.status()
    }

    fn system(&self) -> &'static str {
        self.queue.system()
    }

    fn destination(&self) -> &str {
        self.queue.destination()
    }
}

#[deny(clippy::missing_trait_methods)]
impl<Q: Queue> ObjectQueue for Erased<Q> {
    fn capabilities(&self) -> &Capabilities {
        self.queue.capabilities()
    }

    fn consume(&self, options: ConsumeOptions) -> BoxFuture<'_, Result<DynConsumer, Error>> {
        Box::pin(async {
            let consumer = self.queue.consume(options).await?;
            let receipts = Arc::clone(&self.receipts);
            Ok(DynConsumer(Box::new(ErasedConsumer { consumer, receipts, fetched: Vec::new() })))
        })
    }

    fn settle<'a>(&'a self, batch: &'a mut [Settlement<Slot>]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async {
            let (places, mut concrete) = self.receipts.translate(batch);
            if concrete.is_empty() {
                return Ok(());
            }
            let settled = self.queue.settle(&mut concrete).await;
            self.receipts.bring_back(batch, &places, concrete);
            settled
        })
    }

    fn depth(&self) -> BoxFuture<'_, Result<Depth, Error>> {
        Box::pin(self.queue.depth())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.queue.close())
    }
}

trait ObjectConsumer: Send {
    fn fetch<'a>(&'a mut self, max: usize, out: &'a mut Vec<Delivery<Slot>>) -> BoxFuture<'a, Result<Fetch, Error>>;
}

struct ErasedConsumer<C: Consumer> {
    consumer: C,
    receipts: Arc<Receipts<C::Receipt>>,
    fetched: Vec<Delivery<C::Receipt>>,
}

impl<C: Consumer<Receipt: Clone + Sync>> ObjectConsumer for ErasedConsumer<C> {
    fn fetch<'a>(&'a mut self, max: usize, out: &'a mut Vec<Delivery<Slot>>) -> BoxFuture<'a, Result<Fetch, Error>> {
        Box::pin(async move {
            let fetched = self.consumer.fetch(max, &mut self.fetched).await;
            // Also when it failed: what was appended before the error counts as delivered.
            self.receipts.keep(&mut self.fetched, out);
            fetched
        })
    }
}
