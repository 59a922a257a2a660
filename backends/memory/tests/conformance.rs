//! The conformance suite on the memory backend: as it is, erased, decorated, and batched.

use std::time::Duration;

use chappe_conformance::{Decorated, Erased, Faults, Fixture, FixtureOf, Harness, Setup, run_all};
use chappe_core::{Batched, Error, ErrorKind};
use chappe_memory::{MemoryQueue, MemoryTopic};
use tower::ServiceBuilder;

const LIMIT: Duration = Duration::from_secs(900);

struct Memory;

impl Harness for Memory {
    type Queue = MemoryQueue;
    type Publisher = MemoryQueue;
    type Topic = MemoryTopic;

    async fn queue(&self, setup: &Setup) -> Result<FixtureOf<Self>, Error> {
        let dead = MemoryQueue::new(format!("{}.dead", setup.name));
        let mut builder = MemoryQueue::builder(setup.name.as_str())
            .lease(setup.lease)
            .ordered(setup.ordered)
            .max_delay(LIMIT)
            .max_message_bytes(1 << 20);
        if setup.dead_letter {
            builder = builder.dead_letter(&dead);
        }
        let queue = builder.build()?;
        let topic = queue.topic();
        Ok(Fixture::new(queue.clone(), topic, opener(&queue)).dead_letter(opener(&dead)).faults(faults(&queue)))
    }
}

fn opener(queue: &MemoryQueue) -> impl Fn() -> std::future::Ready<Result<MemoryQueue, Error>> + Send + Sync + 'static {
    let queue = queue.clone();
    move || std::future::ready(Ok(queue.clone()))
}

fn faults(queue: &MemoryQueue) -> Faults {
    let with = || queue.faults();
    let (fetches, settles, publishes, disconnects) = (with(), with(), with(), with());
    Faults::new()
        .fail_fetches(move |calls| fetches.fail_next_fetches(calls, ErrorKind::Unavailable))
        .fail_settles(move |calls| settles.fail_next_settles(calls, ErrorKind::Unavailable))
        .fail_publishes(move |messages| publishes.fail_next_publishes(messages, ErrorKind::Unavailable))
        .disconnect(move || {
            disconnects.disconnect();
            disconnects.reconnect();
            std::future::ready(())
        })
}

/// The same queue, published to in batches.
struct BatchedMemory;

impl Harness for BatchedMemory {
    type Queue = MemoryQueue;
    type Publisher = MemoryQueue;
    type Topic = Batched<MemoryQueue>;

    async fn queue(&self, setup: &Setup) -> Result<FixtureOf<Self>, Error> {
        let fixture = Memory.queue(setup).await?;
        let queue = fixture.publisher().clone();
        Ok(fixture.map(std::convert::identity, std::convert::identity, |_| Batched::new(queue)))
    }
}

#[tokio::test(start_paused = true)]
async fn memory_conforms() {
    run_all(&Memory).await;
}

#[tokio::test(start_paused = true)]
async fn erased_memory_conforms() {
    run_all(&Erased(Memory)).await;
}

#[tokio::test(start_paused = true)]
async fn batched_memory_conforms() {
    run_all(&BatchedMemory).await;
}

#[tokio::test(start_paused = true)]
async fn decorated_memory_conforms() {
    let decorate =
        |topic| ServiceBuilder::new().buffer(64).concurrency_limit(32).timeout(Duration::from_secs(60)).service(topic);
    run_all(&Decorated::new(Memory, decorate)).await;
}
