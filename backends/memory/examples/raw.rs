//! Compares a `MemoryQueue` with a raw tokio channel: publish, fetch and acknowledge a million messages.
//!
//! ```sh
//! cargo run --release -p chappe-memory --example raw
//! ```

use std::future::Future;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chappe_core::backend::{Action, ConsumeOptions, Consumer, Queue, Settlement, StopToken};
use chappe_core::{Error, Message};
use chappe_memory::MemoryQueue;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tower_service::Service;

const MESSAGES: usize = 1_000_000;
const CAPACITY: usize = 4096;
const BATCH: usize = 64;
const ROUNDS: usize = 9;

fn main() -> Result<(), Error> {
    let one = Builder::new_current_thread().enable_time().build().expect("a runtime can be built");
    let two = Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime can be built");
    for (name, runtime) in [("current thread", &one), ("two workers", &two)] {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            times.push((time(runtime, raw())?, time(runtime, memory())?));
        }
        let median = |pick: fn(&(Duration, Duration)) -> Duration| {
            let mut sorted: Vec<Duration> = times.iter().map(pick).collect();
            sorted.sort();
            sorted[ROUNDS / 2].as_nanos() as f64 / MESSAGES as f64
        };
        let (raw, memory) = (median(|times| times.0), median(|times| times.1));
        #[expect(clippy::print_stdout, reason = "this is what the example is for")]
        {
            println!("{name:>14}: raw {raw:6.1} ns, memory {memory:6.1} ns a message, {:.2} times", memory / raw);
        }
    }
    Ok(())
}

fn time(runtime: &Runtime, work: impl Future<Output = Result<(), Error>> + Send + 'static) -> Result<Duration, Error> {
    let start = Instant::now();
    runtime.block_on(runtime.spawn(work)).expect("nothing panics")?;
    Ok(start.elapsed())
}

/// 256 bytes that are shared, and four static attributes.
fn template() -> Message {
    let mut message = Message::new(Bytes::from(vec![7; 256]));
    for (name, value) in [("type", "order.created"), ("source", "shop"), ("version", "1"), ("tenant", "acme")] {
        message.attributes_mut().insert(name, value);
    }
    message
}

async fn raw() -> Result<(), Error> {
    let (sender, mut receiver) = mpsc::channel(CAPACITY);
    let message = template();
    let publisher = tokio::spawn(async move {
        for _ in 0..MESSAGES {
            sender.send(message.clone()).await.expect("the receiver lives");
        }
    });
    let mut batch: Vec<Message> = Vec::with_capacity(BATCH);
    let mut seen = 0;
    while seen < MESSAGES {
        seen += receiver.recv_many(&mut batch, BATCH).await;
        batch.clear();
    }
    publisher.await.expect("nothing panics");
    Ok(())
}

async fn memory() -> Result<(), Error> {
    let queue = MemoryQueue::builder("jobs").capacity(CAPACITY).build()?;
    let message = template();
    let mut topic = queue.topic();
    let publisher = tokio::spawn(async move {
        for _ in 0..MESSAGES {
            std::future::poll_fn(|cx| topic.poll_ready(cx)).await?;
            topic.call(message.clone()).await?;
        }
        Ok::<_, Error>(())
    });
    let options = ConsumeOptions::new(StopToken::never(), const { NonZeroUsize::new(BATCH).expect("not zero") });
    let mut consumer = queue.consume(options).await?;
    let mut deliveries = Vec::with_capacity(BATCH);
    let mut settlements = Vec::with_capacity(BATCH);
    let mut seen = 0;
    while seen < MESSAGES {
        consumer.fetch(BATCH, &mut deliveries).await?;
        seen += deliveries.len();
        settlements.extend(deliveries.drain(..).map(|delivery| Settlement::new(delivery.receipt, Action::Ack)));
        queue.settle(&mut settlements).await?;
        settlements.clear();
    }
    publisher.await.expect("nothing panics")
}
