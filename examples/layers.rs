//! A stack of layers on both sides: `cargo run --example layers --all-features`
//!
//! Orders go through a queue to a handler that fails at first, and that prints an invoice for each. Some of them
//! are not to be handled: one comes twice, one has expired, one is for another region, one is no order.
#![allow(clippy::print_stdout, reason = "a program may print")]

use std::time::{Duration, SystemTime};

use chappe::extract::{Attempt, DryRun, Json, State};
use chappe::memory::MemoryQueue;
use chappe::middleware::catch_panic::CatchPanicLayer;
use chappe::middleware::compress::{CompressLayer, DecompressLayer};
use chappe::middleware::correlation::{AdoptCorrelationLayer, CarryCorrelationLayer};
use chappe::middleware::dedup::{AssignKeyLayer, DedupLayer, MemoryStore};
use chappe::middleware::dry_run::{AdoptDryRunLayer, SuppressDryRunLayer};
use chappe::middleware::expiry::{ExpireLayer, SetExpiryLayer};
use chappe::middleware::rate_limit::RateLimitLayer;
use chappe::middleware::retry::{RetryLayer, RetryPolicy};
use chappe::middleware::schema::{Schema, ValidateLayer, ValidatePublishLayer};
use chappe::middleware::scope::{FilterScopeLayer, SetScopeLayer, Unmatched};
use chappe::middleware::timeout::TimeoutLayer;
use chappe::middleware::trace::{TracePublishLayer, TraceReceiveLayer};
use chappe::server::Backoff;
use chappe::{BoxError, BoxTopic, ErrorKind, Message, Router, Server, Topic};
use serde::Deserialize;
use serde_json::json;
use tower::ServiceBuilder;
use tower::limit::ConcurrencyLimitLayer;

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Deserialize)]
struct Order {
    chairs: u32,
}

async fn on_order(
    State(invoices): State<BoxTopic>,
    Attempt(attempt): Attempt,
    DryRun(rehearsal): DryRun,
    Json(order): Json<Order>,
) -> Result<(), BoxError> {
    if attempt == 1 {
        return Err("the printer does not answer".into());
    }
    println!("{} chairs at attempt {attempt}{}", order.chairs, if rehearsal { ", a rehearsal" } else { "" });
    invoices.publish(format!("{} euros", order.chairs * 42)).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (orders, rejected) = MemoryQueue::with_dead_letter("orders");
    let (invoices, late) = (MemoryQueue::new("invoices"), MemoryQueue::new("late"));
    let schema = Schema::new(&json!({ "required": ["chairs"], "properties": { "chairs": { "minimum": 1 } } }))?;

    // Publishing: the outermost layer sees a message first.
    let shop = ServiceBuilder::new()
        .layer(TracePublishLayer::new("memory")) // sees all that happens
        .layer(ValidatePublishLayer::new(schema.clone())) // what nobody could handle is not sent
        .layer(AssignKeyLayer::random()) // outside of whatever repeats a message
        .layer(SetScopeLayer::new("eu"))
        .layer(SetExpiryLayer::after(HOUR))
        .layer(CompressLayer::zstd().always()) // once, however often it is tried
        .layer(RetryLayer::new(RetryPolicy::exponential(Duration::from_millis(5), Duration::from_secs(1))))
        .layer(TimeoutLayer::new(Duration::from_secs(5))) // for each try
        .service(orders.topic());
    let printer = ServiceBuilder::new()
        .layer(SuppressDryRunLayer::new()) // an invoice of a rehearsal would be sent to a customer
        .layer(CarryCorrelationLayer::new())
        .service(invoices.topic());

    // Receiving: what decides that a message is not handled comes before what costs something.
    let (expire, scope) = (ExpireLayer::new().or_publish(late.topic()), FilterScopeLayer::new("eu", Unmatched::Ack));
    let dedup = DedupLayer::new(MemoryStore::new(100_000, HOUR));
    let (expired, elsewhere, twice) = (expire.expired(), scope.unmatched(), dedup.duplicates());
    let app = ServiceBuilder::new()
        .layer(RateLimitLayer::new(1000, Duration::from_secs(1))) // holds back the server, so it is outermost,
        .layer(ConcurrencyLimitLayer::new(8)) // and so is tower's own
        .layer(TraceReceiveLayer::new("memory"))
        .layer(scope)
        .layer(expire)
        .layer(DecompressLayer::new()) // what is not compressed passes
        .layer(ValidateLayer::new(schema)) // the publisher need not be ours
        .layer(dedup) // remembers only what was done, so it is around all that may fail
        .layer(AdoptCorrelationLayer::new())
        .layer(AdoptDryRunLayer::new())
        .layer(TimeoutLayer::from_lease(0.8).at_most(Duration::from_secs(20)))
        .layer(CatchPanicLayer::new()) // innermost: all others see an error
        .service(Router::new().fallback(on_order).with_state(BoxTopic::new(printer)));

    let order = |chairs: u32, change: fn(&mut Message)| {
        let mut message = Message::new(json!({ "chairs": chairs }).to_string());
        message.attributes_mut().insert("correlation-id", format!("basket-{chairs}"));
        change(&mut message);
        message
    };
    orders.faults().fail_next_publishes(2, ErrorKind::Unavailable); // nobody will notice
    shop.publish(order(3, |_| {})).await?;
    shop.publish(order(5, |message| message.attributes_mut().insert("dry-run", "true"))).await?;
    for id in ["7", "7 again"] {
        let mut message = order(7, |message| message.attributes_mut().insert("idempotency-key", "order-7"));
        message.set_id(id); // the queue does not know that they are the same
        shop.publish(message).await?;
    }
    shop.publish(order(11, |message| message.set_expires(SystemTime::UNIX_EPOCH))).await?;
    shop.publish(order(13, |message| message.attributes_mut().insert("scope", "us"))).await?;
    println!("not published: {}", shop.publish(order(0, |_| {})).await.expect_err("it has no chairs"));
    orders.topic().publish(order(0, |message| message.attributes_mut().insert("scope", "eu"))).await?; // not by our stack
    orders.shut(); // so that serving ends when all of them are settled

    let server = Server::new(orders).concurrency(1).backoff(Backoff::fixed(Duration::from_millis(10)));
    println!("{}", server.serve(app).await?);

    println!(
        "{} twice, {} expired, {} elsewhere, {} rejected",
        twice.get(),
        expired.get(),
        elsewhere.get(),
        rejected.len()
    );
    for invoice in invoices.messages() {
        let story = invoice.attributes().get_str("correlation-id").unwrap_or_default();
        println!("{story}: {}", String::from_utf8_lossy(invoice.body()));
    }
    Ok(())
}
