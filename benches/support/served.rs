//! chappe: a memory queue, a server, and a receiver that does the work.

use std::convert::Infallible;
use std::future::{Future, IntoFuture, Ready, ready};
use std::io::Write;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use chappe::extract::State;
use chappe::memory::{MemoryQueue, MemoryTopic};
use chappe::router::Attr;
use chappe::{Message, Receiver, Router, Server, Topic};
use tokio::sync::Semaphore;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, service_fn};

use super::latency::{Percentiles, measure};
use super::layer::{Look, LookLayer};
use super::load::{ATTRIBUTE, ATTRIBUTES, BODY};
use super::raw::CAPACITY;
use super::{Load, Sink, template};

/// The receiver: reads one attribute and one byte, at once.
#[derive(Clone)]
pub struct Work(pub Sink);

impl Service<Message> for Work {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Message) -> Self::Future {
        self.0.take(message.attributes().get_str(ATTRIBUTE), message.body());
        ready(Ok(()))
    }
}

/// The receiver as it is.
pub async fn plain(load: Load, sink: Sink) {
    run(load, sink.clone(), Work(sink)).await;
}

/// The receiver in three layers.
pub async fn three_layers(load: Load, sink: Sink) {
    run(load, sink.clone(), three(Work(sink))).await;
}

/// The receiver in six layers.
pub async fn six_layers(load: Load, sink: Sink) {
    run(load, sink.clone(), three(three(Work(sink)))).await;
}

/// The receiver behind a boxed service, which boxes its future.
pub async fn boxed(load: Load, sink: Sink) {
    run(load, sink.clone(), BoxCloneSyncService::new(Work(sink))).await;
}

/// A handler made of extractors, behind a router: what most applications are.
pub async fn routed(load: Load, sink: Sink) {
    let app = Router::new().route(Attr("type").eq("order.created"), on_order).or_reject().with_state(sink.clone());
    run(load, sink, app).await;
}

async fn on_order(State(sink): State<Sink>, message: Message) {
    sink.take(message.attributes().get_str(ATTRIBUTE), message.body());
}

/// The receiver as it is, and messages written by a `MessageWriter`, which builds each of them anew.
pub async fn written(load: Load, sink: Sink) {
    serve(load, sink.clone(), Work(sink), write).await;
}

async fn run(load: Load, sink: Sink, receiver: impl Receiver) {
    serve(load, sink, receiver, publish).await;
}

/// Has each publisher do its share, serves until all is handled, and sees to it that all was acknowledged.
async fn serve<R, P, F>(load: Load, sink: Sink, receiver: R, publish: P)
where
    R: Receiver,
    P: Fn(MemoryTopic, u64) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let queue = queue();
    let server = Server::new(queue.clone()).concurrency(load.concurrency);
    let handle = server.handle();
    let serving = tokio::spawn(server.serve(receiver).into_future());
    for share in load.shares() {
        tokio::spawn(publish(queue.topic(), share));
    }
    sink.done().await;
    handle.shutdown();
    let report = serving.await.expect("the server does not panic").expect("the server ends cleanly");
    assert_eq!(report.metrics.acked, load.messages, "messages acknowledged");
}

/// As bounded as the raw channel.
fn queue() -> MemoryQueue {
    MemoryQueue::builder("bench").capacity(CAPACITY).build().expect("the options are valid")
}

async fn publish(topic: MemoryTopic, share: u64) {
    let template = template();
    for _ in 0..share {
        topic.publish(template.clone()).await.expect("the queue is open");
    }
}

async fn write(topic: MemoryTopic, share: u64) {
    for _ in 0..share {
        let mut writer = topic.writer();
        for (name, value) in ATTRIBUTES {
            writer.attributes_mut().append(name, value);
        }
        writer.write_all(&BODY).expect("an open writer takes bytes");
        writer.close().await.expect("the queue is open");
    }
}

type Three<S> = Look<Look<Look<S>>>;

fn three<S>(service: S) -> Three<S> {
    LookLayer.layer(LookLayer.layer(LookLayer.layer(service)))
}

/// From publishing to the handler, one message at a time.
#[must_use]
pub fn latency(messages: usize) -> Percentiles {
    measure(messages, |clock| {
        let queue = queue();
        let receiver = service_fn(move |_: Message| {
            clock.handled();
            ready(Ok::<_, Infallible>(()))
        });
        tokio::spawn(Server::new(queue.clone()).serve(receiver).into_future());
        move |message| {
            let topic = queue.topic();
            async move {
                topic.publish(message).await.expect("the queue is open");
            }
        }
    })
}

/// Queues messages for a receiver that never finishes. Answers how many of them the server fetched and how
/// much the memory in use grew meanwhile.
pub async fn blocked(messages: u64, concurrency: usize, in_use: impl Fn() -> isize) -> (usize, isize) {
    let queue = MemoryQueue::new("bench");
    publish(queue.topic(), messages).await;
    let calls = Arc::new(Semaphore::new(0));
    let receiver = service_fn({
        let calls = Arc::clone(&calls);
        move |_: Message| {
            calls.add_permits(1);
            std::future::pending::<Result<(), Infallible>>()
        }
    });

    let before = in_use();
    let server = Server::new(queue).concurrency(concurrency);
    let handle = server.handle();
    let serving = tokio::spawn(server.serve(receiver).into_future());
    let wanted = u32::try_from(concurrency).expect("the concurrency fits");
    calls.acquire_many(wanted).await.expect("the semaphore is open").forget();
    // Whatever else the server would do, it has the time for now.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let kept = in_use() - before;
    let fetched = concurrency + calls.available_permits();
    handle.shutdown_within(Duration::ZERO);
    // Ends with what it had to abort, which is an error.
    let _ = serving.await.expect("the server does not panic");
    (fetched, kept)
}
