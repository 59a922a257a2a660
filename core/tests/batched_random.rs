//! `Batched` under random plans of callers, patience and faults: nothing hangs, nothing leaks, and every
//! caller hears of its own message.
#![allow(clippy::unwrap_used, reason = "only tests call it")]

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe_core::backend::{Backend, Outgoing, PublishCapabilities, PublishResult, Publisher, Status};
use chappe_core::{Batched, Error, ErrorKind, Key, Message, Published, Topic};
use futures_util::FutureExt;
use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::{sleep, timeout};
use tower::{Service, ServiceExt};

/// What one call to the publisher does to its entries, those with an index of which the bit is set.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// The entries fail for now; those of the same keys behind them too, as an ordering broker has it.
    Entries(u16),
    /// The entries fail for good.
    Refuse(u16),
    /// The confirmation of the entries is lost: half of them were stored.
    Doubt(u16),
    /// The call fails for now, having accepted what is before the index.
    Call(usize),
    /// The publisher panics, having accepted what is before the index.
    Panic(usize),
    /// The call never ends.
    Hang,
}

#[derive(Clone, Debug)]
struct Caller {
    starts: u64,
    patience: Option<u64>,
    key: Option<u8>,
}

#[derive(Clone, Debug)]
struct Plan {
    callers: Vec<Caller>,
    calls: Vec<(u64, Fault)>,
    max_batch: usize,
    max_in_flight: usize,
    max_pending: usize,
    max_pending_bytes: usize,
    self_batching: bool,
}

struct Planned {
    status: Status,
    capabilities: PublishCapabilities,
    calls: Mutex<VecDeque<(u64, Fault)>>,
    stored: Arc<Mutex<Vec<usize>>>,
    under_way: Mutex<HashSet<Key>>,
    violations: Mutex<Vec<&'static str>>,
}

impl Backend for Planned {
    fn status(&self) -> &Status {
        &self.status
    }

    fn system(&self) -> &'static str {
        "planned"
    }

    fn destination(&self) -> &str {
        "test"
    }
}

impl Publisher for Planned {
    fn publish_capabilities(&self) -> &PublishCapabilities {
        &self.capabilities
    }

    async fn publish(&self, batch: &mut [Outgoing]) -> Result<(), Error> {
        self.check(batch.iter().all(|outgoing| outgoing.result.is_pending()), "an entry was passed with a result");
        self.check((1..=self.capabilities.max_batch).contains(&batch.len()), "a call has too many entries or none");
        let _keys = (!self.capabilities.self_batching).then(|| self.claim(batch));
        let (latency, fault) = self.calls.lock().unwrap().pop_front().unwrap_or((0, Fault::None));
        sleep(Duration::from_millis(latency)).await;
        match fault {
            Fault::None => self.store(batch),
            Fault::Entries(bits) => {
                let mut failed = HashSet::new();
                for (at, outgoing) in batch.iter_mut().enumerate() {
                    let key = outgoing.message.key().cloned();
                    if bits & (1 << at) != 0 || key.as_ref().is_some_and(|key| failed.contains(key)) {
                        failed.extend(key);
                        outgoing.result = PublishResult::Failed(unavailable());
                    }
                }
                self.store(batch);
            }
            Fault::Refuse(bits) => {
                for (at, outgoing) in batch.iter_mut().enumerate() {
                    if bits & (1 << at) == 0 {
                        self.store(std::slice::from_mut(outgoing));
                    } else {
                        outgoing.result = PublishResult::Failed(Error::new(ErrorKind::Invalid, "refused"));
                    }
                }
            }
            Fault::Doubt(bits) => {
                for (at, outgoing) in batch.iter_mut().enumerate() {
                    let doubted = bits & (1 << at) != 0;
                    if !doubted || at % 2 == 0 {
                        self.store(std::slice::from_mut(outgoing));
                    }
                    if doubted {
                        outgoing.result = PublishResult::Failed(unavailable().ambiguous());
                    }
                }
            }
            Fault::Call(at) => {
                let at = at.min(batch.len());
                self.store(&mut batch[..at]);
                return Err(unavailable());
            }
            Fault::Panic(at) => {
                let at = at.min(batch.len());
                self.store(&mut batch[..at]);
                std::panic::resume_unwind(Box::new("out of luck"));
            }
            Fault::Hang => std::future::pending().await,
        }
        Ok(())
    }
}

impl Planned {
    fn store(&self, batch: &mut [Outgoing]) {
        for outgoing in batch.iter_mut().filter(|outgoing| outgoing.result.is_pending()) {
            // Taken out, as a publisher may once it has accepted a message.
            let message = std::mem::take(&mut outgoing.message);
            let number = number(&message);
            self.stored.lock().unwrap().push(number);
            outgoing.result = PublishResult::Accepted(receipt(number));
        }
    }

    /// Asserted by the test: a panic in here would be caught.
    fn check(&self, holds: bool, what: &'static str) {
        if !holds {
            self.violations.lock().unwrap().push(what);
        }
    }

    /// Checks that no key is in two calls at once.
    fn claim(&self, batch: &[Outgoing]) -> Claim<'_> {
        let keys: HashSet<_> = batch.iter().filter_map(|outgoing| outgoing.message.key().cloned()).collect();
        let mut under_way = self.under_way.lock().unwrap();
        self.check(under_way.is_disjoint(&keys), "a key is in two calls at once");
        under_way.extend(keys.iter().cloned());
        drop(under_way);
        Claim(self, keys)
    }
}

struct Claim<'a>(&'a Planned, HashSet<Key>);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap().retain(|key| !self.1.contains(key));
    }
}

fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "broker cannot be reached")
}

fn receipt(number: usize) -> Published {
    Published::new(Some(number.to_string().into()))
}

fn number(message: &Message) -> usize {
    std::str::from_utf8(message.body()).unwrap().parse().unwrap()
}

/// What became of a caller: when it was called, in order, and the answer if it waited for one.
struct Heard {
    order: Option<usize>,
    answer: Option<Result<Published, Error>>,
}

async fn run(plan: &Plan) {
    let mut capabilities = PublishCapabilities::new();
    capabilities.max_batch = plan.max_batch;
    capabilities.max_batch_bytes = 8;
    capabilities.self_batching = plan.self_batching;
    let stored = Arc::new(Mutex::new(Vec::new()));
    let topic = Batched::new(Planned {
        status: Status::new(),
        capabilities,
        calls: Mutex::new(plan.calls.iter().copied().collect()),
        stored: Arc::clone(&stored),
        under_way: Mutex::default(),
        violations: Mutex::default(),
    })
    .max_in_flight(plan.max_in_flight)
    .max_pending(plan.max_pending)
    .max_pending_bytes(plan.max_pending_bytes)
    .timeout(Duration::from_secs(2));

    let order = Mutex::new(0);
    let callers = plan.callers.iter().enumerate().map(|(number, caller)| {
        let mut handle = topic.clone();
        let order = &order;
        async move {
            sleep(Duration::from_millis(caller.starts)).await;
            let mut heard = Heard { order: None, answer: None };
            let call = async {
                handle.ready().await.unwrap();
                let mut message = Message::new(number.to_string());
                if let Some(key) = caller.key {
                    message.set_key(vec![key]);
                }
                heard.order = Some({
                    let mut order = order.lock().unwrap();
                    *order += 1;
                    *order
                });
                let call = handle.call(message);
                heard.answer = Some(call.await);
            };
            match caller.patience {
                Some(patience) => drop(timeout(Duration::from_millis(patience), call).await),
                None => call.await,
            }
            heard
        }
    });
    let heard = timeout(Duration::from_secs(600), join_all(callers)).await.expect("a caller hangs");
    timeout(Duration::from_secs(600), topic.flush()).await.expect("flush hangs");

    assert_eq!(*topic.get_ref().violations.lock().unwrap(), [""; 0]);
    let stored = stored.lock().unwrap().clone();
    let times = |number| stored.iter().filter(|&&stored| stored == number).count();
    for (number, heard) in heard.iter().enumerate() {
        match &heard.answer {
            Some(Ok(published)) => {
                assert_eq!(*published, receipt(number), "a caller got the receipt of another");
                assert_eq!(times(number), 1);
            }
            Some(Err(error)) if !error.is_ambiguous() => assert_eq!(times(number), 0, "{number}: {error:?}"),
            Some(Err(_)) => assert!(times(number) <= 1),
            None => assert!(plan.callers[number].patience.is_some() && times(number) <= 1),
        }
    }
    if !plan.self_batching {
        let mut last = HashMap::new();
        for &number in &stored {
            if let Some(key) = plan.callers[number].key {
                let order = heard[number].order;
                assert!(last.insert(key, order) <= Some(order), "messages of key {key} were stored out of order");
            }
        }
    }

    let mut handles: Vec<_> = (0..plan.max_pending).map(|_| topic.clone()).collect();
    for handle in &mut handles {
        assert!(handle.ready().now_or_never().is_some(), "room was lost");
    }
    assert!(topic.clone().ready().now_or_never().is_none(), "room was made up");
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        2 => any::<u16>().prop_map(Fault::Entries),
        1 => any::<u16>().prop_map(Fault::Refuse),
        1 => any::<u16>().prop_map(Fault::Doubt),
        2 => (0..4_usize).prop_map(Fault::Call),
        1 => (0..4_usize).prop_map(Fault::Panic),
        1 => Just(Fault::Hang),
    ]
}

fn plans() -> impl Strategy<Value = Plan> {
    let caller = (0..60_u64, prop::option::weighted(0.3, 0..80_u64), prop::option::of(0..3_u8))
        .prop_map(|(starts, patience, key)| Caller { starts, patience, key });
    (
        vec(caller, 1..40),
        vec((0..20_u64, faults()), 0..40),
        (1..6_usize, 1..5_usize, 1..20_usize, 1..30_usize),
        prop::bool::weighted(0.15),
    )
        .prop_map(|(callers, calls, (max_batch, max_in_flight, max_pending, max_pending_bytes), self_batching)| {
            Plan { callers, calls, max_batch, max_in_flight, max_pending, max_pending_bytes, self_batching }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_hangs_or_leaks_and_every_caller_hears_of_its_own_message(plan in plans()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(&plan));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_every_caller_gets_its_own_receipt() {
    let mut capabilities = PublishCapabilities::new();
    capabilities.max_batch = 7;
    let calls = (0..500).map(|call| (0, if call % 5 == 0 { Fault::Panic(3) } else { Fault::None })).collect();
    let topic = Batched::new(Planned {
        status: Status::new(),
        capabilities,
        calls: Mutex::new(calls),
        stored: Arc::default(),
        under_way: Mutex::default(),
        violations: Mutex::default(),
    })
    .max_in_flight(3)
    .max_pending(50);

    let tasks = (0..16_usize).map(|task| {
        let topic = topic.clone();
        tokio::spawn(async move {
            for number in (0..50).map(|message| task * 1000 + message) {
                let call = topic.publish(number.to_string());
                match if number % 7 == 0 { call.now_or_never() } else { Some(call.await) } {
                    Some(Ok(published)) => assert_eq!(published, receipt(number)),
                    Some(Err(error)) => assert!(error.is_ambiguous(), "{error:?}"),
                    None => {}
                }
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    timeout(Duration::from_secs(10), topic.flush()).await.expect("flush hangs");
}
