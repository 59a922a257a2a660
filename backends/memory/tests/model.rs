//! Random programs against a model of the queue that is too simple to be wrong.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use chappe_core::backend::{Action, ConsumeOptions, Consumer, Queue, SettleResult, Settlement, StopToken};
use chappe_core::{Message, Topic};
use chappe_memory::{MemoryConsumer, MemoryQueue, MemoryReceipt};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::runtime::Builder;

const LEASE: u64 = 1000;

#[derive(Clone, Debug)]
enum Op {
    Publish { key: Option<u8>, delay: u64 },
    Fetch(usize),
    Settle(usize, Kind),
    Expire,
    Advance(u64),
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Ack,
    Retry(u64),
    Release,
    Extend(u64),
    Dead,
    Forget,
}

fn op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![
        4 => Just(Kind::Ack),
        2 => prop_oneof![Just(0), 1_u64..3000].prop_map(Kind::Retry),
        2 => Just(Kind::Release),
        1 => (0_u64..3000).prop_map(Kind::Extend),
        1 => Just(Kind::Dead),
        1 => Just(Kind::Forget),
    ];
    prop_oneof![
        3 => proptest::option::of(0_u8..3).prop_map(|key| Op::Publish { key, delay: 0 }),
        1 => (1_u64..3000).prop_map(|delay| Op::Publish { key: None, delay }),
        3 => (1_usize..5).prop_map(Op::Fetch),
        6 => (any::<usize>(), kind).prop_map(|(which, kind)| Op::Settle(which, kind)),
        1 => Just(Op::Expire),
        2 => (1_u64..1500).prop_map(Op::Advance),
    ]
}

/// Everything the queue has not settled, in the order of publishing.
#[derive(Default)]
struct Model {
    held: Vec<Held>,
    now: u64,
    published: u64,
    /// The last message the consumers have heard of.
    heard: u64,
    ties: u64,
    acked: usize,
    dead: usize,
}

struct Held {
    seq: u64,
    key: Option<u8>,
    place: (u64, u64),
    due: Option<u64>,
    lease: Option<(u64, u32)>,
    attempt: u32,
    deliveries: u32,
}

impl Model {
    fn publish(&mut self, key: Option<u8>, delay: u64) {
        self.published += 1;
        let (seq, due) = (self.published, (delay > 0).then_some(self.now + delay));
        self.held.push(Held { seq, key, place: (seq, 0), due, lease: None, attempt: 0, deliveries: 0 });
    }

    fn behind_all(&mut self) -> (u64, u64) {
        self.ties += 1;
        (self.heard, self.ties)
    }

    /// What a fetch returns: sequence numbers and attempts.
    fn fetch(&mut self, max: usize) -> Vec<(u64, u32)> {
        self.heard = self.published;
        let mut due: Vec<_> =
            (0..self.held.len()).filter(|&at| self.held[at].due.is_some_and(|due| due <= self.now)).collect();
        due.sort_by_key(|&at| (self.held[at].due, self.held[at].place));
        for at in due {
            self.held[at].due = None;
            self.held[at].place = self.behind_all();
        }
        let mut taken = Vec::new();
        for held in &mut self.held {
            held.lease = held.lease.filter(|(until, _)| *until > self.now);
        }
        while taken.len() < max {
            let ready = self.held.iter().enumerate().filter(|(at, held)| {
                let head = held.key.is_none() || self.held[..*at].iter().all(|before| before.key != held.key);
                head && held.due.is_none() && held.lease.is_none()
            });
            let Some((at, _)) = ready.min_by_key(|(_, held)| held.place) else { break };
            let held = &mut self.held[at];
            held.attempt += 1;
            held.deliveries += 1;
            held.lease = Some((self.now + LEASE, held.deliveries));
            taken.push((held.seq, held.attempt));
        }
        taken
    }

    /// Whether the settlement is applied.
    fn settle(&mut self, seq: u64, delivery: u32, kind: Kind) -> bool {
        let leased = |held: &Held| held.lease.is_some_and(|(until, of)| of == delivery && until > self.now);
        let Some(at) = self.held.iter().position(|held| held.seq == seq && leased(held)) else { return false };
        match kind {
            Kind::Ack => {
                self.held.remove(at);
                self.acked += 1;
            }
            Kind::Dead => {
                self.held.remove(at);
                self.dead += 1;
            }
            Kind::Release => {
                self.held[at].lease = None;
                self.held[at].attempt -= 1;
            }
            Kind::Retry(delay) => {
                let place = self.behind_all();
                let held = &mut self.held[at];
                held.lease = None;
                held.place = place;
                held.due = (delay > 0).then_some(self.now + delay);
            }
            Kind::Extend(by) => self.held[at].lease = Some((self.now + by, delivery)),
            Kind::Forget => {}
        }
        true
    }
}

fn fetch_now(consumer: &mut MemoryConsumer, max: usize) -> Vec<(u64, u32, MemoryReceipt)> {
    let mut out = Vec::new();
    let polled = pin!(consumer.fetch(max, &mut out)).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending | Poll::Ready(Ok(_))));
    assert_eq!(polled.is_pending(), out.is_empty());
    out.into_iter()
        .map(|delivery| {
            let seq = u64::from_be_bytes(delivery.message.body().as_ref().try_into().unwrap());
            (seq, delivery.message.attempt(), delivery.receipt)
        })
        .collect()
}

async fn run(ops: Vec<Op>) {
    let dead = MemoryQueue::new("dead");
    let queue = MemoryQueue::builder("jobs").lease(Duration::from_millis(LEASE)).dead_letter(&dead).build().unwrap();
    let options = ConsumeOptions::new(StopToken::never(), NonZeroUsize::MIN);
    let mut consumer = queue.consume(options).await.unwrap();
    let mut model = Model::default();
    let mut receipts = Vec::new();
    for op in ops {
        match op {
            Op::Publish { key, delay } => {
                model.publish(key, delay);
                let mut message = Message::new(model.published.to_be_bytes().to_vec());
                message.set_delay(Duration::from_millis(delay));
                if let Some(key) = key {
                    message.set_key(vec![key]);
                }
                queue.topic().publish(message).await.unwrap();
            }
            Op::Fetch(max) => {
                let (expected, fetched) = (model.fetch(max), fetch_now(&mut consumer, max));
                assert_eq!(fetched.iter().map(|(seq, attempt, _)| (*seq, *attempt)).collect::<Vec<_>>(), expected);
                for (seq, _, receipt) in fetched {
                    let delivery = model.held.iter().find(|held| held.seq == seq).unwrap().deliveries;
                    receipts.push((seq, delivery, receipt));
                }
            }
            Op::Settle(which, kind) if !receipts.is_empty() => {
                let (seq, delivery, receipt) = receipts[which % receipts.len()];
                let action = match kind {
                    Kind::Ack => Action::Ack,
                    Kind::Retry(delay) => Action::Retry { delay: Duration::from_millis(delay), reason: None },
                    Kind::Release => Action::Release,
                    Kind::Extend(by) => Action::Extend { by: Duration::from_millis(by) },
                    Kind::Dead => Action::DeadLetter { reason: "bad".into() },
                    Kind::Forget => Action::Forget,
                };
                let mut batch = [Settlement::new(receipt, action)];
                queue.settle(&mut batch).await.unwrap();
                let applied = model.settle(seq, delivery, kind) || matches!(kind, Kind::Forget);
                assert_eq!(matches!(batch[0].result, SettleResult::Done), applied, "{kind:?}");
                assert_eq!(matches!(batch[0].result, SettleResult::Lost), !applied, "{kind:?}");
            }
            Op::Settle(..) => {}
            Op::Expire => {
                queue.faults().expire_leases();
                model.held.iter_mut().for_each(|held| held.lease = None);
            }
            Op::Advance(by) => {
                tokio::time::advance(Duration::from_millis(by)).await;
                model.now += by;
            }
        }
        assert_eq!((queue.len(), dead.len()), (model.held.len(), model.dead));
        assert_eq!(queue.messages().len(), model.held.len());
    }
    assert_eq!(model.published as usize, model.acked + dead.len() + queue.len());

    let mut left = 0;
    while !queue.is_empty() {
        tokio::time::advance(Duration::from_millis(4000)).await;
        for (.., receipt) in fetch_now(&mut consumer, 100) {
            queue.settle(&mut [Settlement::new(receipt, Action::Ack)]).await.unwrap();
            left += 1;
        }
    }
    assert_eq!(left, model.held.len(), "what is left can be had, and nothing else");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_does_what_the_model_does(ops in vec(op(), 1..150)) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(ops));
    }
}
