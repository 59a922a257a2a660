//! Orders become invoices, over two queues, as events: `cargo run --example events`
//!
//! One order cannot be handled at first, one never, and one is only a rehearsal.
#![allow(clippy::print_stdout, reason = "a program may print")]

use chappe::event::{ConsumeLayer, Emitter, Event, Failure, Wire};
use chappe::extract::{Attempt, State, Type};
use chappe::memory::{MemoryQueue, MemoryTopic};
use chappe::middleware::cloudevents::{Binding, Mode};
use chappe::server::Backoff;
use chappe::{BoxError, Outcome, OutcomeError, Router, Server};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tower::ServiceBuilder;

#[derive(Serialize, Deserialize)]
struct Order {
    customer: String,
    chairs: u32,
}

#[derive(Serialize, Deserialize)]
struct Invoice {
    customer: String,
    euros: u32,
}

type Invoices = Emitter<MemoryTopic>;

async fn on_order(
    State(invoices): State<Invoices>,
    Attempt(attempt): Attempt,
    event: Event<Order>,
) -> Result<(), BoxError> {
    let Order { customer, chairs } = event.payload;
    match chairs {
        0 => return Err(OutcomeError::reject("an order of nothing").into()),
        100.. if attempt == 1 => return Err("the warehouse does not answer".into()),
        _ => {}
    }
    let invoice = Invoice { customer, euros: chairs * 42 };
    // Belongs to the story of the order, and is a rehearsal if that is one.
    invoices.emit_one(Event::new("invoice.printed", invoice)).await?;
    Ok(())
}

async fn on_invoice(event: Event<Invoice>) {
    let Event { meta, payload: Invoice { customer, euros }, .. } = event;
    let story = meta.correlation_id.unwrap_or_default();
    let rehearsal = if meta.is_dry_run { ", in a rehearsal" } else { "" };
    println!("{story}: {customer} pays {euros} euros{rehearsal}");
}

async fn on_failure(failure: Failure) -> Outcome {
    println!("{failure}, so: {:?}", failure.outcome);
    failure.outcome
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (orders, rejected) = MemoryQueue::with_dead_letter("orders");
    let invoices = MemoryQueue::new("invoices");

    let placed = |story: &'static str, chairs| {
        let mut event = Event::new("order.placed", Order { customer: "Claude".into(), chairs });
        event.id = format!("{story}-order").into();
        event.meta.correlation_id = Some(story.into());
        event
    };
    let mut rehearsal = placed("story-4", 1);
    rehearsal.meta.is_dry_run = true;
    let events = [placed("story-1", 3), placed("story-2", 0), placed("story-3", 100), rehearsal];
    // As the Go library would write them.
    for result in Emitter::new(orders.topic()).wire(Wire::Envelope).emit(events).await {
        result?;
    }
    orders.shut(); // so that serving ends with the last of them

    let structured = Wire::CloudEvents(Binding::Generic, Mode::Structured);
    let printer = Emitter::new(invoices.topic()).wire(structured).source("/invoices");
    let app = Router::new().route(Type("order.placed"), on_order).or_reject().with_state(printer);
    let app = ServiceBuilder::new().layer(ConsumeLayer::new().on_error(on_failure)).service(app);
    let quickly = Backoff::fixed(Duration::from_millis(10));
    println!("{}", Server::new(orders).concurrency(1).backoff(quickly).serve(app).await?);

    invoices.shut();
    let app = Router::<()>::new().route(Type("invoice.printed"), on_invoice).or_reject();
    println!("{}", Server::new(invoices).serve(ServiceBuilder::new().layer(ConsumeLayer::new()).service(app)).await?);

    for message in rejected.messages() {
        let event: Event = Event::from_message(&message)?;
        println!("{} is in the dead letter", event.id);
    }
    Ok(())
}
