//! What the tests of the server share: short words, a queue that can be listened in on, a scripted bus.

use std::future::IntoFuture;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::server::{Backoff, Handle, Report, ServeError};
use chappe::{BoxError, Message, MessageId, Receiver, Server, Topic, backend::Queue};
use chappe_memory::MemoryQueue;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tower::service_fn;

mod bus;
mod spy;

pub use bus::Bus;
pub use spy::{Reply, Spy};

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);

/// A server whose failed messages come back after a second, so that times can be told.
pub fn server<Q: Queue>(queue: Q) -> Server<Q> {
    Server::new(queue).backoff(Backoff::fixed(SECOND))
}

/// Serves for a time that is long enough for everything to come to rest, and expects a clean end.
pub async fn serve_for<Q: Queue>(server: Server<Q>, time: Duration, receiver: impl Receiver) -> Report {
    try_serve_for(server, time, receiver).await.expect("the shutdown is clean")
}

pub async fn try_serve_for<Q: Queue>(
    server: Server<Q>,
    time: Duration,
    receiver: impl Receiver,
) -> Result<Report, ServeError> {
    server.serve(receiver).with_graceful_shutdown(sleep(time)).await
}

/// Serves in a task of its own.
pub fn spawn<Q: Queue>(server: Server<Q>, receiver: impl Receiver) -> Served {
    let handle = server.handle();
    Served { handle, task: tokio::spawn(server.serve(receiver).into_future()) }
}

/// A server that is being served.
pub struct Served {
    pub handle: Handle,
    pub task: JoinHandle<Result<Report, ServeError>>,
}

impl Served {
    /// Shuts the server down, and waits for the end.
    pub async fn stop(self) -> Result<Report, ServeError> {
        self.handle.shutdown();
        self.ended().await
    }

    pub async fn ended(self) -> Result<Report, ServeError> {
        self.task.await.expect("serving does not panic")
    }
}

/// A handler that takes `time`.
pub fn takes(time: Duration) -> impl Receiver {
    service_fn(move |_: Message| async move {
        if !time.is_zero() {
            sleep(time).await;
        }
        Ok::<_, BoxError>(())
    })
}

/// A handler that notes what it gets, and takes `time`.
pub fn notes(seen: &Seen, time: Duration) -> impl Receiver {
    let seen = seen.clone();
    service_fn(move |message: Message| {
        seen.note(&message);
        async move {
            if !time.is_zero() {
                sleep(time).await;
            }
            Ok::<_, BoxError>(())
        }
    })
}

pub fn never_ends() -> impl Receiver {
    service_fn(|_: Message| std::future::pending::<Result<(), BoxError>>())
}

pub async fn publish(queue: &MemoryQueue, bodies: impl IntoIterator<Item = impl Into<String>>) {
    for body in bodies {
        queue.topic().publish(body.into()).await.unwrap();
    }
}

pub async fn publish_numbers(queue: &MemoryQueue, count: usize) {
    publish(queue, (0..count).map(|number| number.to_string())).await;
}

pub fn keyed(key: &'static str, body: impl Into<String>) -> Message {
    let mut message = Message::new(body.into());
    message.set_key(key);
    message
}

pub fn text(message: &Message) -> String {
    String::from_utf8(message.body().to_vec()).unwrap()
}

pub fn bodies(queue: &MemoryQueue) -> Vec<String> {
    queue.messages().iter().map(text).collect()
}

pub fn ids(ids: &[MessageId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// The ids of all messages a queue holds.
pub fn held_ids(queue: &MemoryQueue) -> Vec<String> {
    queue.messages().iter().map(|message| message.id().unwrap().to_string()).collect()
}

/// What was handled, in order, and when.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<(Instant, Message)>>>);

impl Seen {
    pub fn note(&self, message: &Message) {
        self.0.lock().unwrap().push((Instant::now(), message.clone()));
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// How often a body was seen, this time included.
    pub fn count_of(&self, message: &Message) -> usize {
        self.0.lock().unwrap().iter().filter(|(_, seen)| seen.body() == message.body()).count()
    }

    pub fn bodies(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(_, message)| text(message)).collect()
    }

    pub fn sorted(&self) -> Vec<String> {
        let mut bodies = self.bodies();
        bodies.sort();
        bodies
    }

    pub fn attempts(&self) -> Vec<u32> {
        self.0.lock().unwrap().iter().map(|(_, message)| message.attempt()).collect()
    }

    /// How long after `start` each was seen.
    pub fn times(&self, start: Instant) -> Vec<Duration> {
        self.0.lock().unwrap().iter().map(|(at, _)| at.duration_since(start)).collect()
    }
}

/// Counts how many of something there are at a time.
#[derive(Clone, Default)]
pub struct Gauge(Arc<Mutex<(usize, usize)>>);

impl Gauge {
    /// Counts one more until what is returned is dropped.
    pub fn enter(&self) -> Entered {
        let mut counts = self.0.lock().unwrap();
        counts.0 += 1;
        counts.1 = counts.1.max(counts.0);
        Entered(self.clone())
    }

    pub fn now(&self) -> usize {
        self.0.lock().unwrap().0
    }

    pub fn most(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

pub struct Entered(Gauge);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().0 -= 1;
    }
}
