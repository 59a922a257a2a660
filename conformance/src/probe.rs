//! [`Probe`], a queue in front of another that counts what a server does and fails when told.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chappe_core::backend::{
    Action, Backend, Capabilities, ConsumeOptions, Consumer, Delivery, Depth, Fetch, Queue, SettleResult, Settlement,
    Status,
};
use chappe_core::{Error, ErrorKind, Message};

/// Passes everything on, so that a server in front of it is observed with any backend behind it.
pub(crate) struct Probe<Q> {
    queue: Q,
    pub(crate) record: Arc<Record>,
}

/// What a server did to its queue, and what is to go wrong.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) fail_fetches: AtomicUsize,
    pub(crate) fatal_fetch: AtomicBool,
    pub(crate) fail_settles: AtomicUsize,
    pub(crate) fail_entries: AtomicUsize,
    pub(crate) lose_replies: AtomicUsize,
    pub(crate) fail_extends: AtomicBool,
    pub(crate) fetches: AtomicUsize,
    /// The largest number a fetch was asked for.
    pub(crate) most_asked: AtomicUsize,
    /// How many are fetched and not settled for good, now and at most.
    pub(crate) unsettled: AtomicUsize,
    pub(crate) most_unsettled: AtomicUsize,
    /// How many are fetched and their handlers have not ended, at most; handlers say when they end.
    pub(crate) handled: AtomicUsize,
    pub(crate) most_unhandled: AtomicUsize,
    pub(crate) settle_calls: AtomicUsize,
    pub(crate) acked: AtomicUsize,
    pub(crate) retried: AtomicUsize,
    pub(crate) released: AtomicUsize,
    pub(crate) dead: AtomicUsize,
    pub(crate) extended: AtomicUsize,
    fetched: Mutex<Vec<Message>>,
}

impl Record {
    /// The messages in the order they were fetched.
    pub(crate) fn fetched(&self) -> Vec<Message> {
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_fetched<R>(&self, deliveries: &[Delivery<R>]) {
        let unsettled = self.unsettled.fetch_add(deliveries.len(), Ordering::SeqCst) + deliveries.len();
        self.most_unsettled.fetch_max(unsettled, Ordering::SeqCst);
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        fetched.extend(deliveries.iter().map(|delivery| delivery.message.clone()));
        let handled = self.handled.load(Ordering::SeqCst);
        self.most_unhandled.fetch_max(fetched.len() - handled, Ordering::SeqCst);
    }

    fn note_settled<R>(&self, settlement: &Settlement<R>) {
        if !matches!(settlement.result, SettleResult::Done) {
            return;
        }
        if settlement.action.is_final() {
            self.unsettled.fetch_sub(1, Ordering::SeqCst);
        }
        let counter = match settlement.action {
            Action::Ack => &self.acked,
            Action::Retry { .. } => &self.retried,
            Action::Release => &self.released,
            Action::DeadLetter { .. } => &self.dead,
            Action::Extend { .. } => &self.extended,
            _ => return,
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

impl<Q> Probe<Q> {
    pub(crate) fn new(queue: Q) -> Self {
        Self { queue, record: Arc::default() }
    }
}

#[deny(clippy::missing_trait_methods)]
impl<Q: Queue> Backend for Probe<Q> {
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
impl<Q: Queue> Queue for Probe<Q> {
    type Receipt = Q::Receipt;
    type Consumer = ProbeConsumer<Q::Consumer>;

    fn capabilities(&self) -> &Capabilities {
        self.queue.capabilities()
    }

    async fn consume(&self, options: ConsumeOptions) -> Result<Self::Consumer, Error> {
        Ok(ProbeConsumer { consumer: self.queue.consume(options).await?, record: Arc::clone(&self.record) })
    }

    async fn settle(&self, batch: &mut [Settlement<Q::Receipt>]) -> Result<(), Error> {
        self.record.settle_calls.fetch_add(1, Ordering::SeqCst);
        if take(&self.record.fail_settles) {
            return Err(unavailable("settling failed"));
        }
        let lost = take(&self.record.lose_replies);
        // Those that are to fail go nowhere; the others are passed on as one call.
        let mut passed = Vec::with_capacity(batch.len());
        for (at, settlement) in batch.iter_mut().enumerate() {
            let extend = matches!(settlement.action, Action::Extend { .. });
            let fails =
                if extend { self.record.fail_extends.load(Ordering::SeqCst) } else { take(&self.record.fail_entries) };
            if fails {
                settlement.result = SettleResult::Failed(unavailable("settling this one failed"));
            } else {
                passed.push((at, settlement.clone()));
            }
        }
        let (places, mut entries): (Vec<usize>, Vec<_>) = passed.into_iter().unzip();
        let settled = self.queue.settle(&mut entries).await;
        entries.iter().for_each(|settlement| self.record.note_settled(settlement));
        if lost {
            return Err(unavailable("the reply was lost"));
        }
        for (at, settlement) in places.into_iter().zip(entries) {
            batch[at].result = settlement.result;
        }
        settled
    }

    async fn depth(&self) -> Result<Depth, Error> {
        self.queue.depth().await
    }

    async fn close(&self) -> Result<(), Error> {
        self.queue.close().await
    }
}

pub(crate) struct ProbeConsumer<C> {
    consumer: C,
    record: Arc<Record>,
}

#[deny(clippy::missing_trait_methods)]
impl<C: Consumer> Consumer for ProbeConsumer<C> {
    type Receipt = C::Receipt;

    async fn fetch(&mut self, max: usize, out: &mut Vec<Delivery<C::Receipt>>) -> Result<Fetch, Error> {
        self.record.fetches.fetch_add(1, Ordering::SeqCst);
        self.record.most_asked.fetch_max(max, Ordering::SeqCst);
        if self.record.fatal_fetch.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::NotFound, "the queue is gone"));
        }
        if take(&self.record.fail_fetches) {
            return Err(unavailable("fetching failed"));
        }
        let before = out.len();
        let fetched = self.consumer.fetch(max, out).await;
        self.record.note_fetched(&out[before..]);
        fetched
    }
}

/// Takes one of what is left, if there is any.
fn take(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn unavailable(text: &str) -> Error {
    Error::new(ErrorKind::Unavailable, text)
}
