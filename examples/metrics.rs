//! Shows metrics to Prometheus: `cargo run --example metrics --features metrics -- [--stay]`
//!
//! A shop publishes orders and handles them, some at the second attempt, one never. Publishing and handling are
//! each in a layer that measures, and a web server renders what they measured at `GET /metrics`. When all
//! orders are done the program scrapes itself, prints what it got and ends; with `--stay` it goes on serving
//! until Ctrl-C.
#![allow(clippy::print_stdout, reason = "a program may print")]

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use chappe::extract::Attempt;
use chappe::handler::HandlerWithoutState;
use chappe::memory::MemoryQueue;
use chappe::middleware::metrics::name::{ATTEMPT_BUCKETS, DURATION_BUCKETS};
use chappe::middleware::metrics::{InFlight, MeasurePublishLayer, MeasureReceiveLayer};
use chappe::server::Backoff;
use chappe::{BoxError, OutcomeError, Server, Topic};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::ctrl_c;
use tower::ServiceBuilder;

const ORDERS: u32 = 100;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Before the layers see a message: they keep the counters they are given then.
    let prometheus = PrometheusBuilder::new()
        .set_buckets(&DURATION_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("attempts".into()), &ATTEMPT_BUCKETS)?
        .install_recorder()?;
    let measure_publish = MeasurePublishLayer::new("memory").destination("orders");
    let measure_receive = MeasureReceiveLayer::new("memory");

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    println!("http://{address}/metrics");
    let in_flight = measure_receive.in_flight();
    let app = Router::new().route("/metrics", get(async move || render(&prometheus, &in_flight)));
    tokio::spawn(axum::serve(listener, app).into_future());

    let (queue, _dead) = MemoryQueue::with_dead_letter("orders");
    let topic = ServiceBuilder::new().layer(measure_publish).service(queue.topic());
    for order in 1..=ORDERS {
        topic.publish(order.to_string()).await?;
    }
    queue.shut();

    let receiver = ServiceBuilder::new().layer(measure_receive).service(on_order.into_service());
    let backoff = Backoff::fixed(Duration::from_millis(20));
    let report = Server::new(queue).concurrency(8).backoff(backoff).serve(receiver).await?;
    println!("{report}\n");

    println!("{}", scrape(address).await?);
    if std::env::args().any(|argument| argument == "--stay") {
        ctrl_c().await?;
    }
    Ok(())
}

async fn on_order(Attempt(attempt): Attempt, order: String) -> Result<(), BoxError> {
    let order: u32 = order.parse()?;
    tokio::time::sleep(Duration::from_millis(order.into()) / 10).await;
    match order {
        13 => Err(OutcomeError::reject("order 13 is not for sale").into()),
        _ if order % 10 == 0 && attempt == 1 => Err("the warehouse does not answer".into()),
        _ => Ok(()),
    }
}

/// What Prometheus gets. The age of the oldest order being handled is told as it is now.
fn render(prometheus: &PrometheusHandle, in_flight: &InFlight) -> String {
    in_flight.report();
    // A long-running program calls this every few seconds too, in case nobody scrapes it.
    prometheus.run_upkeep();
    prometheus.render()
}

/// What Prometheus does.
async fn scrape(address: SocketAddr) -> Result<String, BoxError> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("the answer has no body")?;
    Ok(body.to_owned())
}
