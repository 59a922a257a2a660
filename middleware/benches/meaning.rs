//! What each layer costs beside the service it is around: nanoseconds and allocations for a message, the least
//! of many rounds. `cargo bench -p chappe-middleware --all-features --bench meaning`
#![allow(clippy::print_stdout, reason = "its output is what it is for")]
#![allow(missing_docs, reason = "a program")]

use std::alloc::System;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use chappe_core::{BoxError, Message, MessageId, Published};
use chappe_middleware::correlation::{AdoptCorrelationLayer, CarryCorrelationLayer, Correlation};
use chappe_middleware::dedup::{AssignKeyLayer, DedupLayer, MemoryStore};
use chappe_middleware::dry_run::{AdoptDryRunLayer, CarryDryRunLayer, SuppressDryRunLayer};
use chappe_middleware::expiry::{ExpireLayer, SetExpiryLayer};
use chappe_middleware::scope::{FilterScopeLayer, SetScopeLayer, Unmatched};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::{Layer, Service};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many messages a round has: few enough to stay in the processor's caches, as they do behind a server.
const MESSAGES: u64 = 256;

/// What the layers are around: a service of its own size, so that nothing is folded away.
#[derive(Clone, Copy)]
struct End;

impl Service<Message> for End {
    type Response = Published;
    type Error = BoxError;
    type Future = Ready<Result<Published, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Message) -> Self::Future {
        black_box(&message);
        ready(Ok(Published::default()))
    }
}

struct Cost {
    nanoseconds: f64,
    allocations: f64,
}

fn main() {
    // Cargo runs a bench with `--bench`, and a test of it without: nothing is measured then.
    let rounds = if std::env::args().any(|arg| arg == "--bench") { 4_000 } else { 1 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime can be built");
    let _entered = runtime.enter();
    // Twice, as the first case finds caches and clocks cold.
    let _ = measure(rounds, End, &plain);
    let bare = measure(rounds, End, &plain);
    println!("{:34}{:>10}{:>14}", "", "ns", "allocations");
    println!("{:34}{:>10.1}{:>14.2}", "no layer", bare.nanoseconds, bare.allocations);
    let show = |name: &str, cost: Cost| {
        let (nanoseconds, allocations) = (cost.nanoseconds - bare.nanoseconds, cost.allocations - bare.allocations);
        println!("{name:34}{nanoseconds:>10.1}{allocations:>14.2}");
    };
    macro_rules! case {
        ($name:expr, $layer:expr, $message:expr) => {
            show($name, measure(rounds, $layer.layer(End), &$message))
        };
    }
    case!("AdoptCorrelation", AdoptCorrelationLayer::new(), plain);
    case!("CarryCorrelation, outside", CarryCorrelationLayer::new(), plain);
    let within = CarryCorrelationLayer::new().layer(End);
    show("CarryCorrelation, while handling", scoped(rounds, within));
    case!("AdoptDryRun", AdoptDryRunLayer::new(), plain);
    case!("CarryDryRun", CarryDryRunLayer::new(), plain);
    case!("SuppressDryRun", SuppressDryRunLayer::new(), plain);
    case!("FilterScope", FilterScopeLayer::new("eu", Unmatched::Ack), plain);
    case!("SetScope, has one", SetScopeLayer::new("eu"), plain);
    case!("Expire, no date", ExpireLayer::new(), plain);
    case!("Expire, a date", ExpireLayer::new(), dated);
    case!("SetExpiry, reads the clock", SetExpiryLayer::after(Duration::from_secs(60)), plain);
    case!("Dedup, MemoryStore", DedupLayer::new(MemoryStore::new(10_000, Duration::from_secs(60))), plain);
    case!("AssignKey, random", AssignKeyLayer::random(), plain);
    case!("AssignKey, content of 256 bytes", AssignKeyLayer::content(), unnamed);
}

fn plain(number: u64) -> Message {
    let mut message = unnamed(number);
    message.set_id(MessageId::from_u64(number));
    message
}

/// A message as the benches of the server have it: 256 bytes and 4 attributes.
fn unnamed(_: u64) -> Message {
    let mut message = Message::new(&[b'x'; 256][..]);
    let attributes = message.attributes_mut();
    attributes.insert("type", "order.created");
    attributes.insert("scope", "eu");
    attributes.insert("content-type", "application/json");
    attributes.insert("tenant", "acme");
    message
}

fn dated(number: u64) -> Message {
    let mut message = plain(number);
    message.set_expires(SystemTime::now() + Duration::from_secs(3600));
    message
}

fn scoped(rounds: u64, service: impl Service<Message> + Clone) -> Cost {
    let mut handled = Message::new("handled");
    handled.set_id(MessageId::from_u64(7));
    handled.attributes_mut().insert("correlation-id", "story-7");
    let correlation = Correlation::of(&handled).expect("it has ids");
    let mut run = pin!(correlation.scope(async move { measure(rounds, service, &plain) }));
    match run.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(cost) => cost,
        Poll::Pending => unreachable!("nothing waits"),
    }
}

/// Calls a service with messages that are made beforehand, and takes the best round.
fn measure<S: Service<Message>>(rounds: u64, mut service: S, make: &dyn Fn(u64) -> Message) -> Cost {
    let mut cost = Cost { nanoseconds: f64::MAX, allocations: f64::MAX };
    let mut cx = Context::from_waker(Waker::noop());
    for round in 0..rounds {
        let batch: Vec<Message> = (0..MESSAGES).map(|number| make(round * MESSAGES + number)).collect();
        let region = Region::new(ALLOCATOR);
        let start = Instant::now();
        for message in batch {
            let _ = black_box(service.poll_ready(&mut cx).is_ready());
            let answer = pin!(service.call(message)).poll(&mut cx);
            let _ = black_box(answer.is_ready());
        }
        let elapsed = start.elapsed();
        let change = region.change();
        cost.nanoseconds = cost.nanoseconds.min(elapsed.as_nanos() as f64 / MESSAGES as f64);
        let allocations = change.allocations + change.reallocations;
        cost.allocations = cost.allocations.min(allocations as f64 / MESSAGES as f64);
    }
    cost
}
