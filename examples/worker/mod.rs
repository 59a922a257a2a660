//! What the workers share: orders come in, parcels go out. Nothing here knows of a broker.

use std::env;
use std::future::IntoFuture;
use std::time::Duration;

use chappe::backend::Queue;
use chappe::extract::{Attempt, Attr};
use chappe::server::Serve;
use chappe::{BoxError, BoxTopic, Json, Message, OutcomeError, Router, Server, State, Topic, connect};
use serde::{Deserialize, Serialize};
use tokio::signal::ctrl_c;

pub(crate) mod demo;

#[derive(Deserialize, Serialize)]
pub(crate) struct Order {
    pub(crate) id: u32,
    pub(crate) pieces: u32,
}

#[derive(Deserialize, Serialize)]
pub(crate) struct Parcel {
    pub(crate) order: u32,
}

/// Sends out a parcel. The order is acknowledged when the broker has it.
async fn on_order(
    State(parcels): State<BoxTopic>,
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

/// A worker serves the queue `orders`. What it rejects, and what fails five times, goes to the dead letter of that
/// queue.
pub(crate) fn worker<Q: Queue>(orders: Q, parcels: BoxTopic) -> Serve {
    let app = Router::new().route(Attr("type").eq("order.placed"), on_order).or_reject().with_state(parcels);
    Server::new(orders).concurrency(32).max_attempts(5).grace(Duration::from_secs(30)).serve(app)
}

/// Works until Ctrl-C.
pub(crate) async fn run<Q: Queue>(orders: Q, parcels: BoxTopic) -> Result<(), BoxError> {
    let ctrl_c = async { drop(ctrl_c().await) };
    println!("{}", worker(orders, parcels).with_graceful_shutdown(ctrl_c).into_future().await?);
    Ok(())
}

/// Works on any broker: in the URL, `{}` stands for the names `orders` and `parcels`.
pub(crate) async fn run_at(url: &str) -> Result<(), BoxError> {
    let orders = connect::queue(&url.replace("{}", "orders")).await?;
    run(orders, connect::topic(&url.replace("{}", "parcels")).await?).await
}

/// The URL that `--url` gives, if it does.
pub(crate) fn url() -> Result<Option<String>, BoxError> {
    match &env::args().skip(1).collect::<Vec<_>>()[..] {
        [] => Ok(None),
        [option, url] if option == "--url" && url.contains("{}") => Ok(Some(url.clone())),
        _ => Err("the one option is --url URL, with {} where the names of queues go".into()),
    }
}
