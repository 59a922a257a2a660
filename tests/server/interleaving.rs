//! Ten thousand small lives of servers, each drawn from a seed: publishing, handling, failing, dropping and
//! shutting down in any order, while the queue fails by chance. Afterwards every message is accounted for:
//! accepted = acknowledged + dead + still queued.
//!
//! A seed that fails is printed. To run it alone: `CHAPPE_SEED=123 cargo test --test server one_seed`.

use std::collections::BTreeSet;
use std::future::IntoFuture;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::server::{Backoff, Lanes, Report};
use chappe::{BoxError, Message, Outcome, Server, Topic};
use chappe_memory::{Chance, MemoryQueue};
use fastrand::Rng;
use tokio::time::{sleep, timeout};
use tower::service_fn;

use crate::support::*;

const MILLI: Duration = Duration::from_millis(1);

/// The tests that share the seeds, so that they run side by side.
const SHARES: u64 = 8;
const SEEDS: u64 = 10_000;

/// What is known from outside of the messages of a run.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<Books>>);

#[derive(Default)]
struct Books {
    accepted: BTreeSet<String>,
    /// The publisher does not know.
    perhaps: BTreeSet<String>,
    acked: BTreeSet<String>,
}

impl Ledger {
    fn audit(&self, queue: &MemoryQueue, dead: &MemoryQueue, when: &str) {
        let books = self.0.lock().unwrap();
        let (queued, dead_list) = (bodies(queue), bodies(dead));
        let (held, dead): (BTreeSet<_>, BTreeSet<_>) = (queued.iter().collect(), dead_list.iter().collect());
        assert_eq!((held.len(), dead.len()), (queued.len(), dead_list.len()), "{when}: a message is there twice");
        for body in &books.accepted {
            let found = books.acked.contains(body) || held.contains(body) || dead.contains(body);
            assert!(found, "{when}: message {body} is lost");
        }
        for body in held.iter().chain(&dead) {
            let known = books.accepted.contains(*body) || books.perhaps.contains(*body);
            assert!(known, "{when}: message {body} comes from nowhere");
        }
        assert!(held.is_disjoint(&dead), "{when}: a dead letter is still queued");
    }
}

/// How a handler behaves, drawn for each call.
async fn respond(message: Message, mut random: Rng, ledger: Ledger) -> Result<Outcome, BoxError> {
    let body = text(&message);
    drop(message);
    for _ in 0..random.u32(0..3) {
        match random.u32(0..4) {
            0 => tokio::task::yield_now().await,
            1 => sleep(MILLI * random.u32(0..3000)).await,
            _ => {}
        }
    }
    match random.u32(0..20) {
        0..=2 => Err("failed".into()),
        // Without the panic hook, which would fill the terminal.
        3 => std::panic::resume_unwind(Box::new("panicked")),
        4 => Ok(Outcome::RetryAfter(MILLI * random.u32(0..2000))),
        5 => Ok(Outcome::Throttle(MILLI * random.u32(0..500))),
        6 => Ok(Outcome::reject("rejected")),
        7 => {
            sleep(20 * SECOND).await;
            Err("slow".into())
        }
        _ => {
            ledger.0.lock().unwrap().acked.insert(body);
            Ok(Outcome::Ack)
        }
    }
}

fn server_by_chance(queue: &MemoryQueue, random: &mut Rng) -> (Server<MemoryQueue>, usize, bool) {
    let concurrency = random.usize(1..=6);
    let lanes = [Lanes::Off, Lanes::Passing, Lanes::Ordered][random.usize(0..3)];
    let server = Server::new(queue.clone())
        .concurrency(concurrency)
        .prefetch(random.usize(0..=4))
        .lanes(lanes)
        .max_attempts(random.u32(1..=5))
        .backoff(Backoff::exponential(MILLI * random.u32(0..100), SECOND))
        .grace(MILLI * random.u32(0..10_000));
    let server = if random.bool() { server.timeout(MILLI * random.u32(1..5000)) } else { server };
    (server, concurrency, lanes == Lanes::Ordered)
}

/// Serves for a time, and ends in one of several ways.
async fn live(queue: &MemoryQueue, random: &mut Rng, ledger: &Ledger) {
    let (server, concurrency, holds) = server_by_chance(queue, random);
    let (handle, running) = (server.handle(), Gauge::default());
    let (gauge, books, seed) = (running.clone(), ledger.clone(), Mutex::new(random.fork()));
    let seed = Arc::new(seed);
    let serving = server.serve(service_fn(move |message: Message| {
        let entered = gauge.enter();
        let call = respond(message, seed.lock().unwrap().fork(), books.clone());
        async move {
            let _entered = entered;
            call.await
        }
    }));
    let mut serving = Box::pin(serving.into_future());
    let time = MILLI * random.u32(0..6000);
    let ended = timeout(time, &mut serving).await;
    assert!(ended.is_err(), "nothing is fatal here: {ended:?}");
    if random.u32(0..5) == 0 {
        queue.faults().expire_leases();
    }
    let result = match random.u32(0..4) {
        0 => {
            drop(serving);
            tokio::task::yield_now().await;
            return;
        }
        1 => {
            handle.shutdown_within(MILLI * random.u32(0..100));
            serving.await
        }
        _ => {
            handle.shutdown();
            serving.await
        }
    };
    assert!(running.most() <= concurrency, "{} handlers ran at a time, {concurrency} may", running.most());
    assert_eq!(running.now(), 0, "a handler runs after the end");
    let report = match result {
        Ok(report) => report,
        Err(error) if error.is_deadline() => error.report().clone(),
        Err(error) => panic!("nothing is fatal here: {error:?}"),
    };
    check(&report, holds);
}

/// Every delivery ended in exactly one way.
fn check(report: &Report, holds: bool) {
    let metrics = &report.metrics;
    assert_eq!(metrics.in_flight, 0);
    let told = metrics.acked + metrics.dead_lettered + metrics.released + metrics.lost + metrics.unsettled;
    let fetched = metrics.fetched;
    if holds {
        assert!(told <= fetched, "{metrics:?}");
    } else {
        let ends = told + metrics.retried;
        assert!(ends <= fetched && fetched <= ends + metrics.leases_lost, "{metrics:?}");
    }
}

async fn run(seed: u64) {
    let mut random = Rng::with_seed(seed);
    fastrand::seed(seed);
    let dead = MemoryQueue::new("dead");
    let queue = MemoryQueue::builder("jobs")
        .ordered(random.bool())
        .lease(MILLI * random.u32(500..8000))
        .capacity(random.usize(2..40))
        .dead_letter(&dead)
        .build()
        .unwrap();
    let mut likely = |most: f64| if random.bool() { random.f64() * most } else { 0.0 };
    let chance = Chance::seeded(seed)
        .fetch(likely(0.3))
        .settle(likely(0.3))
        .lost_settle(likely(0.2))
        .settle_entry(likely(0.3))
        .publish(likely(0.2))
        .lost_receipt(likely(0.2))
        .duplicate(likely(0.1));
    queue.faults().random(chance);
    let ledger = Ledger::default();
    let publishing = tokio::spawn({
        let (topic, ledger, mut random) = (queue.topic(), ledger.clone(), random.fork());
        async move {
            for number in 0..random.u32(1..30) {
                let body = number.to_string();
                let mut message = Message::new(body.clone());
                if random.bool() {
                    message.set_key(["a", "b", "c"][random.usize(0..3)]);
                }
                if random.u32(0..4) == 0 {
                    sleep(MILLI * random.u32(0..2000)).await;
                }
                let result = topic.publish(message).await;
                let mut books = ledger.0.lock().unwrap();
                match result {
                    Ok(_) => books.accepted.insert(body),
                    Err(error) if error.is_ambiguous() => books.perhaps.insert(body),
                    Err(_) => true,
                };
            }
        }
    });

    for _ in 0..random.u32(1..4) {
        live(&queue, &mut random, &ledger).await;
        // What a publisher is told can lag behind what it did.
        tokio::task::yield_now().await;
        ledger.audit(&queue, &dead, "after a life");
    }
    queue.faults().clear();
    let books = ledger.clone();
    let last = serve_for(
        Server::new(queue.clone()),
        10 * MINUTE,
        service_fn(move |message: Message| {
            books.0.lock().unwrap().acked.insert(text(&message));
            std::future::ready(Ok::<_, BoxError>(()))
        }),
    )
    .await;
    publishing.await.unwrap();

    ledger.audit(&queue, &dead, "in the end");
    assert_eq!((queue.len(), last.metrics.unsettled), (0, 0), "everything is settled in the end");
}

/// Says which seed it was.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed that failed is {}", self.0);
        }
    }
}

fn run_seed(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _seed = Seed(seed);
    runtime.block_on(run(seed));
}

fn run_share(share: u64) {
    (0..SEEDS).filter(|seed| seed % SHARES == share).for_each(run_seed);
}

macro_rules! shares {
    ($($name:ident = $share:literal),*) => {
        $(#[test]
        fn $name() {
            run_share($share);
        })*
    };
}

shares!(
    nothing_is_lost_in_seeds_0 = 0,
    nothing_is_lost_in_seeds_1 = 1,
    nothing_is_lost_in_seeds_2 = 2,
    nothing_is_lost_in_seeds_3 = 3,
    nothing_is_lost_in_seeds_4 = 4,
    nothing_is_lost_in_seeds_5 = 5,
    nothing_is_lost_in_seeds_6 = 6,
    nothing_is_lost_in_seeds_7 = 7
);

#[test]
fn one_seed() {
    run_seed(std::env::var("CHAPPE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEEDS));
}
