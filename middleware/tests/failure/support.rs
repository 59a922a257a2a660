//! Short words for what the tests share.

use std::fmt::Debug;
use std::future::{Future, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::backend::Queue;
use chappe::server::{Backoff, Report};
use chappe::{
    BoxError, Error, ErrorKind, IntoOutcome, Lease, LeaseControl, Message, Outcome, Published, Receiver, Server, Topic,
};
use chappe_memory::MemoryQueue;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_test::task::{Spawn, spawn};
use tower::{Layer, Service, ServiceExt, service_fn};

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);

/// The mock every layer is stepped around.
pub type Mock = tower_test::mock::Mock<Message, Outcome>;
pub type Handle = tower_test::mock::Handle<Message, Outcome>;
pub type Stepped<S> = tower_test::mock::Spawn<S>;

/// Puts a layer around a service that is stepped by hand.
pub fn stepped<L: Layer<Mock>>(layer: L) -> (Stepped<L::Service>, Handle) {
    tower_test::mock::spawn_layer(layer)
}

/// Makes a service ready, which it must be at once, and calls it.
pub fn call<S: Service<Message>>(service: &mut Stepped<S>, message: impl Into<Message>) -> Spawn<S::Future>
where
    S::Error: Debug,
{
    tokio_test::assert_ready_ok!(service.poll_ready::<Message>());
    spawn(service.call(message.into()))
}

/// Calls a service and waits for its answer.
pub async fn answer<S: Receiver>(service: &S, message: impl Into<Message>) -> Result<Outcome, BoxError> {
    service.clone().oneshot(message.into()).await.map(IntoOutcome::into_outcome).map_err(Into::into)
}

pub fn kind(error: impl Into<BoxError>) -> ErrorKind {
    Error::from_boxed(error).kind()
}

/// An error that says nothing but its text.
pub fn failure(text: &'static str) -> BoxError {
    text.into()
}

/// A lease that ends in `ttl`, and what controls it.
pub fn lease(ttl: Duration) -> (Lease, LeaseControl) {
    let mut control = LeaseControl::new(Arc::new(Notify::new()));
    let lease = control.begin(1, Some(Instant::now() + ttl));
    (lease, control)
}

pub fn leased(body: &'static str, lease: Lease) -> Message {
    let mut message = Message::new(body);
    message.set_lease(lease);
    message
}

/// A receiver that answers what `answers` gives, by the number of the call from 1, and notes what it gets.
pub fn script<E: Into<BoxError> + Send + 'static>(
    seen: &Seen,
    answers: impl Fn(usize) -> Result<Outcome, E> + Clone + Send + Sync + 'static,
) -> impl Receiver<Response = Outcome, Error = E, Future: Send> + Sync {
    let seen = seen.clone();
    service_fn(move |message: Message| ready(answers(seen.note(&message))))
}

/// A topic that answers what `answers` gives, by the number of the call from 1.
pub fn topic(
    calls: &Counter,
    answers: impl Fn(usize) -> Result<Published, Error> + Clone + Send + Sync + 'static,
) -> impl Topic<Error = Error> + Sync {
    let calls = calls.clone();
    service_fn(move |_: Message| ready(answers(calls.add())))
}

/// What was handled, in order.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<Message>>>);

impl Seen {
    /// Notes a message and returns how many that makes.
    pub fn note(&self, message: &Message) -> usize {
        let mut seen = self.0.lock().unwrap();
        seen.push(message.clone());
        seen.len()
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub fn bodies(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(text).collect()
    }

    pub fn attempts(&self) -> Vec<u32> {
        self.0.lock().unwrap().iter().map(Message::attempt).collect()
    }
}

#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicUsize>);

impl Counter {
    /// Counts one more and returns how many that makes.
    pub fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A server whose failed messages come back after a second.
pub fn server<Q: Queue>(queue: Q) -> Server<Q> {
    Server::new(queue).backoff(Backoff::fixed(SECOND))
}

/// Serves for a time, and expects a clean end.
pub async fn serve_for<Q: Queue>(server: Server<Q>, time: Duration, receiver: impl Receiver) -> Report {
    server.serve(receiver).with_graceful_shutdown(sleep(time)).await.expect("the shutdown is clean")
}

pub async fn publish(queue: &MemoryQueue, bodies: impl IntoIterator<Item = impl Into<String>>) {
    for body in bodies {
        queue.topic().publish(body.into()).await.unwrap();
    }
}

pub async fn publish_numbers(queue: &MemoryQueue, count: usize) {
    publish(queue, (0..count).map(|number| number.to_string())).await;
}

pub fn text(message: &Message) -> String {
    String::from_utf8(message.body().to_vec()).unwrap()
}

pub fn bodies(queue: &MemoryQueue) -> Vec<String> {
    queue.messages().iter().map(text).collect()
}

/// Fails to compile unless the layer fits a receiver.
pub fn is_receiver<R: Receiver>(receiver: R) -> R {
    receiver
}

/// Fails to compile unless the layer fits a topic.
pub fn is_topic<T: Topic>(topic: T) -> T {
    topic
}

/// Awaits what must not take any time.
pub async fn at_once<F: Future>(future: F) -> F::Output {
    let start = Instant::now();
    let output = future.await;
    assert_eq!(start.elapsed(), Duration::ZERO, "it took time");
    output
}
