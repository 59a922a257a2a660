//! The worker of `sqs_worker` on Google Pub/Sub: its receiver is literally the same, what it is served from is not.
//!
//! ```sh
//! cargo xtask services pubsub -- cargo run --example pubsub_worker --features pubsub
//! ```
//!
//! runs it beside Google's emulator, with topics of its own and a few orders to handle. Against Pub/Sub it takes the
//! topics and subscriptions you have, `orders` and `parcels`, and runs until Ctrl-C:
//!
//! ```sh
//! cargo run --example pubsub_worker --features pubsub -- --url 'pubsub://my-project/{}?dead_letter={}-dead'
//! ```
#![allow(clippy::print_stdout, reason = "a program may print")]

use std::env;

use chappe::pubsub::admin::{SubscriptionSpec, ensure_subscription, ensure_topic};
use chappe::pubsub::{PubsubClient, PubsubPublisher, PubsubQueue};
use chappe::{BoxError, BoxTopic};
use worker::demo::Demo;

#[path = "../worker/mod.rs"]
mod worker;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    match worker::url()? {
        Some(url) => worker::run_at(&url).await,
        // Nothing is ever made in a project of Google's.
        None if env::var_os("PUBSUB_EMULATOR_HOST").is_some() => demo().await,
        None => Err("give it the --url of your queues, or set PUBSUB_EMULATOR_HOST to an emulator".into()),
    }
}

/// Makes what the worker needs beside an emulator, and has it work.
async fn demo() -> Result<(), BoxError> {
    let client = PubsubClient::from_env().await?;
    for name in ["orders", "parcels", "orders-dead"] {
        ensure_topic(&client, name).await?;
        ensure_subscription(&client, &SubscriptionSpec::new(name, name)).await?;
    }
    let topic = |name: &str| BoxTopic::new(PubsubPublisher::new(&client, name).topic());
    let demo = Demo {
        orders: PubsubQueue::new(&client, "orders").dead_letter("orders-dead"),
        to_orders: topic("orders"),
        parcels: PubsubQueue::new(&client, "parcels"),
        to_parcels: topic("parcels"),
        dead: PubsubQueue::new(&client, "orders-dead"),
    };
    demo.run().await
}
