//! Publishes on one web server and reads on another: `cargo run --example fanout_sse -- [PORT_A [PORT_B]]`
//!
//! Two instances of a service, each with its own fork of one bus, as two processes have their own connection
//! to one broker. Open both pages it prints: what is sent from one arrives in both.
//!
//! - `GET /` is a page that shows the events.
//! - `GET /events` is the stream of server-sent events.
//! - `POST /publish` publishes its body to everybody.
//!
//! A browser that does not keep up is not waited for: it misses the oldest messages, and is told how many in
//! an event `lagged`. Ctrl-C ends all streams, which would go on for ever otherwise, and waits only so long for
//! browsers that do not take what was sent to them.
#![allow(clippy::print_stdout, reason = "a program may print")]

use std::convert::Infallible;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Html;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use axum::{Router, serve};
use bytes::Bytes;
use chappe::backend::{Broadcast, Fetch, Signal, StopSource, StopToken, SubscribeOptions, Subscription};
use chappe::memory::{MemoryBus, MemorySubscription};
use chappe::{BoxError, Error, Topic};
use futures_util::stream::{self, Stream};
use tokio::net::TcpListener;
use tokio::signal::ctrl_c;
use tokio::time::sleep;

const TOPIC: &str = "chat";

/// How many messages wait for a slow browser before it misses some.
const BUFFER: NonZeroUsize = NonZeroUsize::new(32).expect("32 is not zero");

/// How long a browser may take for what is left of its stream after a Ctrl-C.
const GRACE: Duration = Duration::from_secs(5);

const PAGE: &str = r#"<!doctype html>
<meta charset="utf-8">
<title>fan-out</title>
<form><input name="text" autofocus autocomplete="off"> <button>Publish</button></form>
<ul></ul>
<script>
  const show = text => document.querySelector("ul").appendChild(document.createElement("li")).textContent = text;
  const events = new EventSource("/events");
  events.onmessage = event => show(event.data);
  events.addEventListener("lagged", event => show(`${event.data} messages were missed`));
  document.querySelector("form").onsubmit = event => {
    event.preventDefault();
    fetch("/publish", { method: "POST", body: event.target.text.value });
    event.target.reset();
  };
</script>
"#;

/// One instance of the service.
#[derive(Clone)]
struct Instance {
    bus: MemoryBus,
    stop: StopToken,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut ports = std::env::args().skip(1).map(|port| port.parse::<u16>());
    let stop = StopSource::new();
    let bus = MemoryBus::new(TOPIC);
    let a = bind(ports.next().transpose()?).await?;
    let b = bind(ports.next().transpose()?).await?;
    println!("http://{}/\nhttp://{}/", a.local_addr()?, b.local_addr()?);

    let a = serve(a, app(bus.fork(), stop.token())).with_graceful_shutdown(stopped(stop.token()));
    let b = serve(b, app(bus.fork(), stop.token())).with_graceful_shutdown(stopped(stop.token()));
    let interrupt = async {
        ctrl_c().await?;
        stop.stop();
        sleep(GRACE).await;
        Ok::<_, BoxError>(())
    };
    tokio::select! {
        served = async { tokio::try_join!(a.into_future(), b.into_future()) } => served.map(drop)?,
        late = interrupt => late?,
    }
    Ok(())
}

/// Listens on a port of this machine; any that is free if none is given.
async fn bind(port: Option<u16>) -> Result<TcpListener, BoxError> {
    let address = SocketAddr::from(([127, 0, 0, 1], port.unwrap_or(0)));
    let cannot = |error| format!("cannot listen on {address}: {error}");
    Ok(TcpListener::bind(address).await.map_err(cannot)?)
}

fn app(bus: MemoryBus, stop: StopToken) -> Router {
    Router::new()
        .route("/", get(Html(PAGE)))
        .route("/events", get(events))
        .route("/publish", post(publish))
        .with_state(Instance { bus, stop })
}

async fn publish(State(instance): State<Instance>, body: Bytes) -> Result<StatusCode, (StatusCode, String)> {
    match instance.bus.topic(TOPIC).publish(body).await {
        Ok(_) => Ok(StatusCode::ACCEPTED),
        Err(error) => Err(unavailable(&error)),
    }
}

/// The stream of a browser, which is subscribed for as long as it is connected.
async fn events(
    State(instance): State<Instance>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, (StatusCode, String)> {
    let options = SubscribeOptions::new().buffer(BUFFER).stop(instance.stop);
    let subscription = instance.bus.subscribe(TOPIC, options).await.map_err(|error| unavailable(&error))?;
    let stream = stream::unfold((subscription, Vec::new().into_iter()), |(mut subscription, mut waiting)| async move {
        loop {
            if let Some(signal) = waiting.next() {
                return Some((Ok(event(signal)), (subscription, waiting)));
            }
            waiting = next(&mut subscription).await?.into_iter();
        }
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// The next signals; `None` when the subscription is over.
async fn next(subscription: &mut MemorySubscription) -> Option<Vec<Signal>> {
    let mut signals = Vec::new();
    let fetch = subscription.recv(BUFFER.get(), &mut signals).await.ok()?;
    (fetch != Fetch::Stopped || !signals.is_empty()).then_some(signals)
}

fn event(signal: Signal) -> Event {
    match signal {
        // A carriage return has a meaning of its own in a stream of events.
        Signal::Message(message) => Event::default().data(String::from_utf8_lossy(message.body()).replace('\r', "")),
        Signal::Lagged(count) => Event::default().event("lagged").data(count.to_string()),
        _ => Event::default().event("lagged").data("some"),
    }
}

fn unavailable(error: &Error) -> (StatusCode, String) {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

async fn stopped(stop: StopToken) {
    stop.stopped().await;
}
