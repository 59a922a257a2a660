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
//! where `ORDERS` is subscribed to the topic, with raw delivery or without. Or by one URL:
//!
//! ```sh
//! cargo run --example sqs_worker --features sns,sqs -- --url 'sqs://eu-west-1/123456789012/{}?dead_letter={}-dead'
//! ```
//!
//! [`worker`] knows nothing of SQS: the URL may be that of any broker whose feature is on.
#![allow(clippy::print_stdout, reason = "a program may print")]

use std::env;
use std::time::Duration;

use chappe::sns::SnsPublisher;
use chappe::sns::admin::{Subscription, clients_from_env, ensure_topic, subscribe};
use chappe::sqs::SqsQueue;
use chappe::sqs::admin::{QueueSpec, ensure_queue};
use chappe::{BoxError, BoxTopic, Topic};
use worker::demo::{Demo, event};

#[path = "../worker/mod.rs"]
mod worker;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    if let Some(url) = worker::url()? {
        return worker::run_at(&url).await;
    }
    let named = |variable: &str| env::var(variable).ok();
    let (orders, parcels, dead) = match (named("ORDERS"), named("PARCELS"), named("DEAD")) {
        (Some(orders), Some(parcels), Some(dead)) => (orders, parcels, dead),
        // Nothing is ever made in an account of AWS.
        _ if named("AWS_ENDPOINT_URL").is_some() => return demo().await,
        _ => return Err("set ORDERS, PARCELS and DEAD to URLs of queues, or AWS_ENDPOINT_URL to an emulator".into()),
    };
    let (orders, parcels) = (SqsQueue::from_env(orders).await?, SqsQueue::from_env(parcels).await?);
    worker::run(orders.dead_letter(dead), BoxTopic::new(parcels.topic())).await
}

/// Makes what the worker needs beside an emulator, and has it work.
async fn demo() -> Result<(), BoxError> {
    let (sns, sqs) = clients_from_env().await;
    let orders = ensure_queue(&sqs, &QueueSpec::new("orders")).await?;
    let parcels = ensure_queue(&sqs, &QueueSpec::new("parcels")).await?;
    let dead = ensure_queue(&sqs, &QueueSpec::new("orders-dead")).await?;
    let topic = ensure_topic(&sns, "order-events").await?;
    let filter = serde_json::json!({ "type": [{ "prefix": "order." }] });
    subscribe(&sns, &sqs, &topic, &orders, &Subscription::new().filter(filter)).await?;
    let to_orders = SnsPublisher::new(&sns, topic).topic();
    // Of another kind, which the filter keeps away.
    to_orders.publish(event("stock.low", b"{}")).await?;

    // A shutdown waits for the poll that runs.
    let queue = |url: &str| SqsQueue::new(&sqs, url).wait(Duration::from_secs(1));
    let parcels = queue(&parcels);
    let demo = Demo {
        orders: queue(&orders).dead_letter(&dead),
        to_parcels: BoxTopic::new(parcels.topic()),
        parcels,
        dead: queue(&dead),
        to_orders: BoxTopic::new(to_orders),
    };
    demo.run().await
}
