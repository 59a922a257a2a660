//! What each of the layers about failure costs a message that does not fail.
//!
//! `cargo bench --package chappe-middleware --bench failure` prints nanoseconds and allocations over the bare
//! service: the best of some rounds, as whatever else the machine does only makes it slower. The service
//! answers at once, and so does every layer but those that look at the clock. Run as a test it only checks
//! that none of them allocates.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::alloc::System;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use chappe::memory::MemoryQueue;
use chappe::{BoxError, LeaseControl, Message, Outcome, Receiver};
use chappe_middleware::breaker::BreakerLayer;
use chappe_middleware::catch_panic::CatchPanicLayer;
use chappe_middleware::chaos::ChaosLayer;
use chappe_middleware::dead_letter::DeadLetterLayer;
use chappe_middleware::ignore_errors::IgnoreErrorsLayer;
use chappe_middleware::rate_limit::RateLimitLayer;
use chappe_middleware::retry::{RetryLayer, RetryPolicy};
use chappe_middleware::timeout::TimeoutLayer;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::{Layer, Service};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MESSAGES: u32 = 200_000;
const ROUNDS: usize = 15;

/// The bare service: it answers at once, and counts on nothing being left out.
#[derive(Clone)]
struct Bare;

impl Service<Message> for Bare {
    type Response = Outcome;
    type Error = BoxError;
    type Future = Ready<Result<Outcome, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Message) -> Self::Future {
        black_box(&message);
        ready(Ok(Outcome::Ack))
    }
}

fn main() {
    let rounds = if std::env::args().any(|arg| arg == "--bench") { ROUNDS } else { 0 };
    let bare = Cost::of(Bare, rounds);
    println!("{:<28} {:>6} {:>12}", "layer", "ns", "allocations");
    let report = |name: &str, cost: Cost| {
        println!("{name:<28} {:>6.1} {:>12.3}", cost.nanos - bare.nanos, cost.allocations);
        assert!(cost.allocations < 0.001, "{name} allocates");
    };
    let dead = MemoryQueue::new("dead");
    let policy = RetryPolicy::exponential(Duration::from_millis(10), Duration::from_secs(1));
    report("breaker, consecutive", Cost::of(BreakerLayer::consecutive(5).layer(Bare), rounds));
    report("breaker, share", Cost::of(BreakerLayer::share(0.5, 100).layer(Bare), rounds));
    report("catch-panic", Cost::of(CatchPanicLayer::new().layer(Bare), rounds));
    report("chaos without odds", Cost::of(ChaosLayer::seeded(1).layer(Bare), rounds));
    report("dead-letter", Cost::of(DeadLetterLayer::new(dead.topic()).max_attempts(5).layer(Bare), rounds));
    report("ignore-errors", Cost::of(IgnoreErrorsLayer::new("none", |_| false).layer(Bare), rounds));
    let unlimited = RateLimitLayer::new(u32::MAX, Duration::from_secs(1)).burst(u32::MAX);
    report("rate-limit", Cost::of(unlimited.layer(Bare), rounds));
    report("retry", Cost::of(RetryLayer::new(policy).layer(Bare), rounds));
    report("timeout, fixed", Cost::of(TimeoutLayer::new(Duration::from_secs(5)).layer(Bare), rounds));
    report("timeout, of the lease", Cost::of(TimeoutLayer::from_lease(0.8).layer(Bare), rounds));
    report("nothing (how much it varies)", Cost::of(Bare, rounds));
}

/// What a message costs.
struct Cost {
    nanos: f64,
    allocations: f64,
}

impl Cost {
    fn of(mut service: impl Receiver, rounds: usize) -> Self {
        let message = message();
        // Whatever is made at the first call is not what a message costs.
        run(&mut service, &message);
        let region = Region::new(ALLOCATOR);
        run(&mut service, &message);
        let change = region.change();
        let nanos = (0..rounds).map(|_| {
            let start = Instant::now();
            run(&mut service, &message);
            start.elapsed().as_nanos() as f64 / f64::from(MESSAGES)
        });
        Self {
            nanos: nanos.fold(f64::INFINITY, f64::min),
            allocations: (change.allocations + change.reallocations) as f64 / f64::from(MESSAGES),
        }
    }
}

/// A message as a server hands it out.
fn message() -> Message {
    let mut message = Message::new(vec![7; 256]);
    for name in ["type", "tenant", "traceparent", "content-type"] {
        message.attributes_mut().insert(name, "value");
    }
    message.set_id(chappe::MessageId::from_u64(7));
    message.set_source("jobs");
    message.set_attempt(1);
    let mut control = LeaseControl::new(Arc::default());
    message.set_lease(control.begin(1, None));
    message
}

fn run(service: &mut impl Receiver, message: &Message) {
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..MESSAGES {
        assert!(service.poll_ready(&mut cx).is_ready());
        let call = pin!(service.call(message.clone()));
        assert!(black_box(call.poll(&mut cx)).is_ready());
    }
}
