//! What the erased twins promise: they do what is behind them does, and keep no receipt longer than needed.
#![allow(clippy::unwrap_used, reason = "only tests call it")]

mod support;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe_core::backend::{
    Action, Backend, Broadcast, Capabilities, ConsumeOptions, Consumer, Delivery, Depth, Fetch, Outgoing,
    PublishCapabilities, Publisher, Queue, SettleResult, Settlement, Signal, Status, StopToken, SubscribeOptions,
    Subscription,
};
use chappe_core::erased::{DynConsumer, Slot};
use chappe_core::{
    Batched, BoxError, BoxTopic, DynBroadcast, DynPublisher, DynQueue, DynSubscription, Error, ErrorKind, Message,
    Published, Topic,
};
use support::{Scripted, receipt, unavailable};
use tokio::time::timeout;
use tower::limit::ConcurrencyLimit;
use tower::{Service, ServiceExt, service_fn};

type SettleStep = Box<dyn FnOnce(&mut [Settlement<Receipt>]) -> Result<(), Error> + Send>;

/// A receipt that is not `Copy`, and of which one can tell how many are kept.
#[derive(Clone)]
struct Receipt {
    name: String,
    _counted: Arc<()>,
}

#[derive(Clone, Default)]
struct Fake(Arc<Inner>);

#[derive(Default)]
struct Inner {
    status: Status,
    capabilities: Capabilities,
    script: Mutex<VecDeque<SettleStep>>,
    settled: Mutex<Vec<(String, Action)>>,
    counted: Arc<()>,
    closed: AtomicUsize,
}

impl Fake {
    /// What the next settle does; without a step everything is done.
    fn then(&self, step: impl FnOnce(&mut [Settlement<Receipt>]) -> Result<(), Error> + Send + 'static) {
        self.0.script.lock().unwrap().push_back(Box::new(step));
    }

    fn settled(&self) -> Vec<(String, Action)> {
        std::mem::take(&mut self.0.settled.lock().unwrap())
    }

    /// How many receipts somebody keeps.
    fn kept(&self) -> usize {
        Arc::strong_count(&self.0.counted) - 1
    }
}

impl Backend for Fake {
    fn status(&self) -> &Status {
        &self.0.status
    }

    fn system(&self) -> &'static str {
        "fake"
    }

    fn destination(&self) -> &str {
        "jobs"
    }
}

impl Queue for Fake {
    type Receipt = Receipt;
    type Consumer = FakeConsumer;

    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn consume(&self, options: ConsumeOptions) -> Result<FakeConsumer, Error> {
        Ok(FakeConsumer { queue: self.clone(), next: 0, stop: options.stop })
    }

    async fn settle(&self, batch: &mut [Settlement<Receipt>]) -> Result<(), Error> {
        let names = batch.iter().map(|settlement| (settlement.receipt.name.clone(), settlement.action.clone()));
        self.0.settled.lock().unwrap().extend(names);
        let step = self.0.script.lock().unwrap().pop_front();
        match step {
            Some(step) => step(batch),
            None => {
                batch.iter_mut().for_each(|settlement| settlement.result = SettleResult::Done);
                Ok(())
            }
        }
    }

    async fn depth(&self) -> Result<Depth, Error> {
        Ok(depth_of(7))
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.closed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn depth_of(ready: u64) -> Depth {
    let mut depth = Depth::default();
    depth.ready = ready;
    depth
}

struct FakeConsumer {
    queue: Fake,
    next: usize,
    stop: StopToken,
}

impl Consumer for FakeConsumer {
    type Receipt = Receipt;

    async fn fetch(&mut self, max: usize, out: &mut Vec<Delivery<Receipt>>) -> Result<Fetch, Error> {
        for _ in 0..max {
            self.next += 1;
            let name = format!("job-{}", self.next);
            let receipt = Receipt { name: name.clone(), _counted: Arc::clone(&self.queue.0.counted) };
            out.push(Delivery::new(Message::new(name), receipt).lane(self.next as u64));
            if self.next == 100 {
                return Err(unavailable());
            }
        }
        Ok(if self.stop.is_stopped() { Fetch::Stopped } else { Fetch::More })
    }
}

async fn consumer(queue: &DynQueue) -> DynConsumer {
    queue.consume(ConsumeOptions::new(StopToken::never(), NonZeroUsize::MIN)).await.unwrap()
}

async fn fetch(consumer: &mut DynConsumer, max: usize) -> Vec<Slot> {
    let mut deliveries = Vec::new();
    consumer.fetch(max, &mut deliveries).await.unwrap();
    deliveries.into_iter().map(|delivery| delivery.receipt).collect()
}

fn settlements(slots: &[Slot], action: &Action) -> Vec<Settlement<Slot>> {
    slots.iter().map(|&slot| Settlement::new(slot, action.clone())).collect()
}

fn names(settled: Vec<(String, Action)>) -> Vec<String> {
    settled.into_iter().map(|(name, _)| name).collect()
}

#[tokio::test]
async fn deliveries_come_through_with_everything_they_carry() {
    let queue = DynQueue::new(Fake::default());
    let mut deliveries = Vec::new();

    let fetched = consumer(&queue).await.fetch(2, &mut deliveries).await.unwrap();

    assert_eq!(fetched, Fetch::More);
    let carried: Vec<_> = deliveries.iter().map(|delivery| (delivery.message.body().clone(), delivery.lane)).collect();
    assert_eq!(carried, [("job-1".into(), Some(1)), ("job-2".into(), Some(2))]);
}

#[tokio::test]
async fn a_settled_delivery_is_settled_by_its_own_receipt_and_leaves_nothing_behind() {
    let fake = Fake::default();
    let queue = DynQueue::new(fake.clone());
    let slots = fetch(&mut consumer(&queue).await, 3).await;
    assert_eq!(fake.kept(), 3);

    let mut batch = settlements(&[slots[2], slots[0]], &Action::Ack);
    queue.settle(&mut batch).await.unwrap();

    assert!(batch.iter().all(|settlement| matches!(settlement.result, SettleResult::Done)));
    assert_eq!(names(fake.settled()), ["job-3", "job-1"]);
    assert_eq!(fake.kept(), 1);
}

#[tokio::test]
async fn a_slot_of_a_delivery_that_is_over_is_lost_and_never_its_successor() {
    let fake = Fake::default();
    let queue = DynQueue::new(fake.clone());
    let mut consumer = consumer(&queue).await;
    let old = fetch(&mut consumer, 1).await;
    queue.settle(&mut settlements(&old, &Action::Ack)).await.unwrap();
    let new = fetch(&mut consumer, 1).await;
    fake.settled();

    let mut batch = settlements(&old, &Action::Ack);
    queue.settle(&mut batch).await.unwrap();

    assert!(matches!(batch[0].result, SettleResult::Lost));
    assert_ne!(old, new);
    assert_eq!((fake.settled().len(), fake.kept()), (0, 1), "the queue was not even asked");
}

#[tokio::test]
async fn what_a_failed_settle_left_pending_is_passed_again_and_results_stay_with_their_entries() {
    let fake = Fake::default();
    let queue = DynQueue::new(fake.clone());
    let mut slots = fetch(&mut consumer(&queue).await, 4).await;
    queue.settle(&mut settlements(&slots[..1], &Action::Ack)).await.unwrap();
    fake.settled();
    fake.then(|batch| {
        batch[1].result = SettleResult::Done;
        Err(unavailable())
    });
    // The stale one in the middle shifts the places of those behind it.
    slots.swap(0, 1);

    let mut batch = settlements(&slots, &Action::Ack);
    let error = queue.settle(&mut batch).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(names(fake.settled()), ["job-2", "job-3", "job-4"]);
    assert!(batch[0].result.is_pending() && batch[3].result.is_pending());
    assert!(matches!(batch[1].result, SettleResult::Lost));
    assert!(matches!(batch[2].result, SettleResult::Done));

    batch.retain(|settlement| settlement.result.is_pending());
    queue.settle(&mut batch).await.unwrap();

    assert_eq!((names(fake.settled()), fake.kept()), (vec!["job-2".to_owned(), "job-4".to_owned()], 0));
}

#[tokio::test]
async fn the_message_a_settlement_carries_is_passed_and_kept_for_the_next_try() {
    let fake = Fake::default();
    let queue = DynQueue::new(fake.clone());
    let slots = fetch(&mut consumer(&queue).await, 1).await;
    for _ in 0..2 {
        fake.then(|batch| {
            assert_eq!(batch[0].message.take().unwrap().body(), "dead");
            Err(unavailable())
        });
    }

    let mut batch = settlements(&slots, &Action::DeadLetter { reason: "broken".into() });
    batch[0].message = Some(Box::new(Message::new("dead")));

    assert!(queue.settle(&mut batch).await.is_err());
    assert!(queue.settle(&mut batch).await.is_err());
}

#[tokio::test]
async fn a_receipt_is_kept_until_its_delivery_is_over() {
    type Answer = fn() -> SettleResult;
    let failed = || SettleResult::Failed(unavailable());
    let cases: [(Action, Answer, usize); 8] = [
        (Action::Extend { by: Duration::from_secs(1) }, || SettleResult::Done, 1),
        (Action::Extend { by: Duration::from_secs(1) }, || SettleResult::Lost, 1),
        (Action::Ack, failed, 1),
        (Action::Ack, || SettleResult::Lost, 0),
        (Action::Release, || SettleResult::Done, 0),
        (Action::Retry { delay: Duration::ZERO, reason: None }, || SettleResult::Done, 0),
        (Action::Forget, || SettleResult::Done, 0),
        (Action::Forget, failed, 0),
    ];
    for (action, result, kept) in cases {
        let fake = Fake::default();
        let queue = DynQueue::new(fake.clone());
        let slots = fetch(&mut consumer(&queue).await, 1).await;
        fake.then(move |batch| {
            batch[0].result = result();
            Ok(())
        });

        queue.settle(&mut settlements(&slots, &action)).await.unwrap();

        assert_eq!(fake.kept(), kept, "{action:?} answered with {:?}", result());
    }
}

#[tokio::test]
async fn a_slot_that_is_settled_twice_in_one_batch_is_freed_once() {
    let fake = Fake::default();
    let queue = DynQueue::new(fake.clone());
    let slots = fetch(&mut consumer(&queue).await, 2).await;

    queue.settle(&mut settlements(&[slots[0], slots[0]], &Action::Ack)).await.unwrap();

    assert_eq!(fake.kept(), 1);
}

#[tokio::test]
async fn what_was_fetched_before_an_error_is_delivered() {
    let fake = Fake::default();
    let queue = DynQueue::new(fake.clone());
    let mut deliveries = Vec::new();

    let error = consumer(&queue).await.fetch(200, &mut deliveries).await.unwrap_err();

    assert_eq!((error.kind(), deliveries.len(), fake.kept()), (ErrorKind::Unavailable, 100, 100));
}

#[tokio::test]
async fn every_method_reaches_the_queue_behind_through_two_erasures() {
    let fake = Fake::default();
    let queue = DynQueue::new(DynQueue::new(fake.clone()));
    let slots = fetch(&mut consumer(&queue).await, 1).await;

    queue.settle(&mut settlements(&slots, &Action::Ack)).await.unwrap();
    queue.close().await.unwrap();
    fake.0.status.down("cut");

    assert_eq!(queue.depth().await.unwrap().ready, 7);
    assert_eq!((queue.system(), queue.destination()), ("fake", "jobs"));
    assert_eq!(queue.capabilities().max_fetch, 1);
    assert!(!queue.status().is_healthy());
    assert_eq!((fake.0.closed.load(Ordering::SeqCst), fake.kept()), (1, 0));
}

#[tokio::test]
async fn an_erased_publisher_is_batched_like_any_other() {
    let publisher = Scripted::with(Duration::ZERO, |capabilities| capabilities.max_message_bytes = 3);
    let topic = Batched::new(DynPublisher::new(publisher.clone()));

    let results = topic.publish_all(["a", "long", "b"]).await;

    assert_eq!(results[0].as_ref().unwrap(), &receipt("a"));
    assert_eq!(results[1].as_ref().unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(publisher.calls(), [["a", "b"]]);
}

struct Bus(Scripted, Arc<AtomicUsize>);

impl Backend for Bus {
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

impl Publisher for Bus {
    fn publish_capabilities(&self) -> &PublishCapabilities {
        self.0.publish_capabilities()
    }

    async fn publish(&self, batch: &mut [Outgoing]) -> Result<(), Error> {
        self.0.publish(batch).await
    }
}

impl Broadcast for Bus {
    type Subscription = Echo;

    async fn subscribe(&self, topic: &str, options: SubscribeOptions) -> Result<Echo, Error> {
        Ok(Echo(topic.to_owned(), options.buffer.get()))
    }

    async fn close(&self) -> Result<(), Error> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

struct Echo(String, usize);

impl Subscription for Echo {
    async fn recv(&mut self, max: usize, out: &mut Vec<Signal>) -> Result<Fetch, Error> {
        out.push(Signal::Message(Message::new(self.0.clone())));
        out.push(Signal::Lagged((self.1 + max) as u64));
        Ok(Fetch::Stopped)
    }
}

#[tokio::test]
async fn an_erased_bus_publishes_subscribes_and_closes() {
    let (scripted, closed) = (Scripted::new(), Arc::new(AtomicUsize::new(0)));
    let bus = DynBroadcast::new(DynBroadcast::new(Bus(scripted.clone(), Arc::clone(&closed))));
    let mut subscription: DynSubscription = bus.subscribe("news", SubscribeOptions::new()).await.unwrap();
    let mut signals = Vec::new();

    bus.publish(&mut [Outgoing::new(Message::new("a"))]).await.unwrap();
    let end = subscription.recv(2, &mut signals).await.unwrap();
    bus.close().await.unwrap();

    assert_eq!((end, closed.load(Ordering::SeqCst)), (Fetch::Stopped, 1));
    assert!(matches!(&signals[..], [Signal::Message(message), Signal::Lagged(66)] if message.body() == "news"));
    assert_eq!(scripted.calls(), [["a"]]);
    assert_eq!(bus.publish_capabilities().max_batch, 10);
}

#[tokio::test]
async fn a_boxed_topic_keeps_the_kind_of_an_error_behind_layers() {
    let topic = BoxTopic::new(service_fn(async |_: Message| {
        Err::<Published, BoxError>(Error::new(ErrorKind::NotFound, "topic jobs not found").into())
    }));

    let error = topic.publish("a").await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_clone_of_a_boxed_topic_has_to_become_ready_by_itself() {
    let topic = service_fn(async |_: Message| Ok::<_, Error>(Published::default()));
    let mut topic = BoxTopic::new(ConcurrencyLimit::new(topic, 1));

    topic.ready().await.unwrap();

    assert!(timeout(Duration::from_secs(1), topic.clone().ready()).await.is_err());
    topic.call(Message::new("a")).await.unwrap();
    timeout(Duration::from_secs(1), topic.clone().ready()).await.unwrap().unwrap();
}
