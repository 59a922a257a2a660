//! chappe: a topic and a server.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chappe::sqs::SqsQueue;
use chappe::{BoxError, Message, Server, Topic};
use tokio::sync::Notify;
use tower::service_fn;

use super::Clock;
use crate::calls::{Calls, Connection};
use crate::{BODY, CONCURRENCY, PUBLISHERS, Run};

pub fn message() -> Message {
    let mut message = Message::new(BODY);
    ["a", "b", "c", "d"].iter().for_each(|name| message.attributes_mut().append(*name, "value"));
    message
}

pub async fn run(connection: Connection, messages: usize) -> Run {
    let queue = SqsQueue::new(&connection.client, &connection.url).wait(Duration::from_secs(1));
    let begun = Instant::now();
    let topic = queue.topic().max_in_flight(PUBLISHERS);
    for result in topic.publish_all((0..messages).map(|_| message())).await {
        result.expect("a message can be published");
    }
    let published = begun.elapsed();

    let (clock, done) = (Arc::new(Clock::start(messages)), Arc::new(Notify::new()));
    let receiver = service_fn({
        let (clock, done) = (Arc::clone(&clock), Arc::clone(&done));
        move |message: Message| {
            assert_eq!(message.body().len(), BODY.len());
            if clock.handled() {
                done.notify_one();
            }
            std::future::ready(Ok::<_, BoxError>(()))
        }
    });
    let serving = Server::new(queue).concurrency(CONCURRENCY).serve(receiver);
    let handle = serving.handle();
    let serving = tokio::spawn(serving.into_future());
    done.notified().await;
    handle.shutdown();
    let report = serving.await.expect("the server does not panic").expect("the shutdown is clean");
    assert_eq!(report.metrics.acked, messages as u64);
    let consumed = clock.stopped().expect("all are handled");
    Run { published, consumed, calls: connection.calls() }
}

/// What a server of an empty queue asks for within this time.
pub async fn idle(time: Duration) -> Calls {
    let connection = Connection::open().await;
    let receiver = service_fn(|_: Message| std::future::ready(Ok::<_, BoxError>(())));
    let serving = Server::new(SqsQueue::new(&connection.client, &connection.url)).concurrency(CONCURRENCY);
    let serving = tokio::spawn(serving.serve(receiver).into_future());
    tokio::time::sleep(time).await;
    let calls = connection.calls();
    serving.abort();
    calls
}
