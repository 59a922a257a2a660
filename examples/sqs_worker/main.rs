//! Orders come from a topic of SNS, parcels go out to a queue of SQS, and what cannot be handled goes to a dead
//! letter:
//!
//! ```sh
//! cargo xtask services aws -- cargo run --example sqs_worker --features sns,sqs
//! ```
//!
//! runs it beside an emulator, with queues of its own and a few orders to handle. Against AWS it takes the ones you
//! have, by environment variables alone, and runs until Ctrl-C:
//!
//! ```sh
//! export ORDERS=https://sqs.eu-west-1.amazonaws.com/123456789012/orders
//! export PARCELS=https://sqs.eu-west-1.amazonaws.com/123456789012/parcels
//! export DEAD=https://sqs.eu-west-1.amazonaws.com/123456789012/orders-dead
//! cargo run --example sqs_worker --features sns,sqs
//! ```
//!
//! where `ORDERS` is subscribed to the topic, with raw delivery or without.
#![allow(clippy::print_stdout, reason = "a program may print")]

use std::env;
use std::future::IntoFuture;
use std::time::Duration;

use chappe::extract::{Attempt, Attr};
use chappe::sqs::{SqsQueue, SqsTopic};
use chappe::{BoxError, Json, Message, OutcomeError, Router, Server, State, Topic};
use serde::{Deserialize, Serialize};
use tokio::signal::ctrl_c;

mod demo;

#[derive(Deserialize, Serialize)]
struct Order {
    id: u32,
    pieces: u32,
}

#[derive(Deserialize, Serialize)]
struct Parcel {
    order: u32,
}

/// Sends a parcel to the queue that goes out. The order is acknowledged when SQS has it.
async fn on_order(
    State(parcels): State<SqsTopic>,
    Attempt(attempt): Attempt,
    Json(order): Json<Order>,
) -> Result<(), BoxError> {
    if order.pieces == 0 {
        // Trying again would not help: a dead letter, with this as its reason.
        return Err(OutcomeError::reject("an order of nothing").into());
    }
    if order.id % 10 == 7 && attempt == 1 {
        return Err("the printer is out of paper".into()); // tried again, after a pause
    }
    let mut parcel = Message::new(serde_json::to_vec(&Parcel { order: order.id })?);
    parcel.attributes_mut().insert("type", "parcel.packed");
    parcels.publish(parcel).await?;
    println!("order {}, attempt {attempt}: packed", order.id);
    Ok(())
}

/// A worker serves the queue `orders`. What it rejects, and what fails five times, goes to `dead`.
fn worker(orders: SqsQueue, parcels: &SqsQueue, dead: &str) -> chappe::server::Serve {
    let app = Router::new().route(Attr("type").eq("order.placed"), on_order).or_reject().with_state(parcels.topic());
    Server::new(orders.dead_letter(dead)).concurrency(32).max_attempts(5).grace(Duration::from_secs(30)).serve(app)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let named = |variable: &str| env::var(variable).ok();
    let (orders, parcels, dead) = match (named("ORDERS"), named("PARCELS"), named("DEAD")) {
        (Some(orders), Some(parcels), Some(dead)) => (orders, parcels, dead),
        // Nothing is ever made in an account of AWS.
        _ if named("AWS_ENDPOINT_URL").is_some() => return demo::run().await,
        _ => return Err("set ORDERS, PARCELS and DEAD to URLs of queues, or AWS_ENDPOINT_URL to an emulator".into()),
    };
    let (orders, parcels) = (SqsQueue::from_env(orders).await?, SqsQueue::from_env(parcels).await?);
    let ctrl_c = async { drop(ctrl_c().await) };
    let report = worker(orders, &parcels, &dead).with_graceful_shutdown(ctrl_c).into_future().await?;
    println!("{report}");
    Ok(())
}
