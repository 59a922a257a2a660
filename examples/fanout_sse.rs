//! Publishes on one web server and reads on another: `cargo run --example fanout_sse -- [--url URL] [PORT...]`
//!
//! A service of as many instances as ports are given, or two, each with its own handle on one bus. Open the pages it
//! prints: what is sent from one arrives in all. The bus is in this process, unless a URL says otherwise; then
//! instances may as well be processes of their own, on machines of their own:
//!
//! ```sh
//! cargo run --example fanout_sse --features redis -- --url redis://localhost/?topic=chat 8001
//! cargo run --example fanout_sse --features redis -- --url redis://localhost/?topic=chat 8002
//! ```
//!
//! - `GET /` is a page that shows the events.
//! - `GET /events` is the stream of server-sent events. A browser that comes back says by `Last-Event-ID` where it
//!   was, to any of the instances, and is sent what it missed.
//! - `POST /publish` publishes its body to everybody.
//! - `GET /health` says how the bus is, with status 503 when it is not connected.
//!
//! A browser that does not keep up is not waited for: it misses the oldest messages, and is told how many in
//! an event `lagged`. Ctrl-C ends all streams, which would go on for ever otherwise, and waits only so long for
//! browsers that do not take what was sent to them.
#![allow(clippy::print_stdout, reason = "a program may print")]

use std::convert::Infallible;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Html;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use axum::{Router, serve};
use bytes::Bytes;
use chappe::backend::{Backend, Fetch, Signal, StopSource, StopToken, Subscription};
use chappe::replay::{Replay, ReplayOptions, ReplaySubscription};
use chappe::{Batched, BoxError, DynBroadcast, Error, Message, Topic, connect};
use futures_util::future::try_join_all;
use futures_util::stream::{self, Stream};
use lexopt::{Arg, ValueExt};
use tokio::net::TcpListener;
use tokio::signal::ctrl_c;
use tokio::time::sleep;

/// The bus, unless another is asked for.
const URL: &str = "memory://chat";

/// How many messages are kept for browsers that come back, or are slow, before they miss some.
const KEPT: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not zero");

/// How long a message is of interest.
const TTL: Duration = Duration::from_secs(60);

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
    bus: DynBroadcast,
    topic: Batched<DynBroadcast>,
    replay: Replay,
    stop: StopToken,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (url, ports) = arguments()?;
    let stop = StopSource::new();
    let mut instances = Vec::new();
    for port in ports {
        let listener = bind(port).await?;
        println!("http://{}/", listener.local_addr()?);
        let instance = Instance::start(&url, stop.token()).await?;
        instances.push(serve(listener, app(instance)).with_graceful_shutdown(stopped(stop.token())).into_future());
    }
    let interrupt = async {
        ctrl_c().await?;
        stop.stop();
        sleep(GRACE).await;
        Ok::<_, BoxError>(())
    };
    tokio::select! {
        served = try_join_all(instances) => served.map(drop)?,
        late = interrupt => late?,
    }
    Ok(())
}

/// The URL of the bus, and the port of each instance; 0 is any that is free.
fn arguments() -> Result<(String, Vec<u16>), lexopt::Error> {
    let (mut url, mut ports) = (URL.to_owned(), Vec::new());
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("url") => url = arguments.value()?.string()?,
            Arg::Value(port) => ports.push(port.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok((url, if ports.is_empty() { vec![0, 0] } else { ports }))
}

impl Instance {
    /// Connects to the bus, as every process does for itself.
    async fn start(url: &str, stop: StopToken) -> Result<Self, Error> {
        let bus = connect::broadcast(url).await?;
        bus.status().on_reconnect(|_| println!("connected again")).forget();
        let options = ReplayOptions::new().max_messages(KEPT).max_age(TTL);
        let replay = Replay::start(bus.clone(), bus.destination(), options).await?;
        Ok(Self { topic: Batched::new(bus.clone()), bus, replay, stop })
    }
}

/// Listens on a port of this machine.
async fn bind(port: u16) -> Result<TcpListener, BoxError> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let cannot = |error| format!("cannot listen on {address}: {error}");
    Ok(TcpListener::bind(address).await.map_err(cannot)?)
}

fn app(instance: Instance) -> Router {
    Router::new()
        .route("/", get(Html(PAGE)))
        .route("/events", get(events))
        .route("/publish", post(publish))
        .route("/health", get(health))
        .with_state(instance)
}

async fn publish(State(instance): State<Instance>, body: Bytes) -> Result<StatusCode, (StatusCode, String)> {
    let mut message = Message::new(body);
    // By which any instance finds the place of a browser that comes back.
    message.set_id(format!("{:032x}", fastrand::u128(..)));
    message.set_expires(SystemTime::now() + TTL);
    match instance.topic.publish(message).await {
        Ok(_) => Ok(StatusCode::ACCEPTED),
        Err(error) => Err(unavailable(&error)),
    }
}

/// The stream of a browser, from where it was if it says so, for as long as it is connected.
async fn events(
    State(instance): State<Instance>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let subscription = match headers.get("last-event-id").and_then(|id| id.to_str().ok()) {
        Some(id) => instance.replay.subscribe_after(id),
        None => instance.replay.subscribe(),
    };
    let subscription = subscription.until(instance.stop);
    let stream = stream::unfold((subscription, Vec::new().into_iter()), |(mut subscription, mut waiting)| async move {
        loop {
            if let Some(signal) = waiting.next() {
                return Some((Ok(event(signal)), (subscription, waiting)));
            }
            waiting = next(&mut subscription).await?.into_iter();
        }
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}

/// The next signals; `None` when the subscription is over.
async fn next(subscription: &mut ReplaySubscription) -> Option<Vec<Signal>> {
    let mut signals = Vec::new();
    let fetch = subscription.recv(KEPT.get(), &mut signals).await.ok()?;
    (fetch != Fetch::Stopped || !signals.is_empty()).then_some(signals)
}

fn event(signal: Signal) -> Event {
    match signal {
        Signal::Message(message) => {
            // A carriage return has a meaning of its own in a stream of events.
            let event = Event::default().data(String::from_utf8_lossy(message.body()).replace('\r', ""));
            match message.id().map(|id| id.to_str().to_owned()) {
                Some(id) if !id.contains(['\n', '\r', '\0']) => event.id(id),
                _ => event,
            }
        }
        Signal::Lagged(count) => Event::default().event("lagged").data(count.to_string()),
        _ => Event::default().event("lagged").data("some"),
    }
}

async fn health(State(instance): State<Instance>) -> (StatusCode, String) {
    let status = instance.bus.status();
    let code = if status.is_healthy() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{:?}\n{:?}\n", status.health(), status.stats()))
}

fn unavailable(error: &Error) -> (StatusCode, String) {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

async fn stopped(stop: StopToken) {
    stop.stopped().await;
}
