//! apalis with its memory storage. A task's arguments are any type, so they are the very message chappe
//! sends.

use std::sync::Arc;

use apalis::prelude::*;
use apalis_core::backend::memory::{MemorySink, MemoryStorage, MemoryStorageError};
use chappe::Message;
use futures::channel::mpsc;
use futures::lock::Mutex;
use futures::{SinkExt, StreamExt};

use crate::support::load::ATTRIBUTE;
use crate::support::{Load, Sink, template};

/// All handlers on the worker's own task.
pub async fn concurrent(load: Load, sink: Sink) {
    let storage = publish(load);
    let worker =
        WorkerBuilder::new("bench").backend(storage).data(sink.clone()).concurrency(load.concurrency).build(handle);
    let worker = tokio::spawn(async move { worker.run().await });
    sink.done().await;
    worker.abort();
}

/// A task for each handler. The future of this worker is not `Send`, so it runs on the calling thread.
pub async fn parallel(load: Load, sink: Sink) {
    let storage = publish(load);
    let worker = WorkerBuilder::new("bench")
        .backend(storage)
        .data(sink.clone())
        .concurrency(load.concurrency)
        .parallelize(tokio::spawn)
        .build(handle);
    tokio::select! {
        stopped = worker.run() => stopped.expect("the worker runs until it is dropped"),
        () = sink.done() => {}
    }
}

async fn handle(message: Message, sink: Data<Sink>) {
    sink.take(message.attributes().get_str(ATTRIBUTE), message.body());
}

/// Feeds the storage through a channel, which is faster than its own `MemorySink`: that one makes up an
/// identifier and takes two locks for each task.
fn publish(load: Load) -> MemoryStorage<Message> {
    let (sender, receiver) = mpsc::unbounded();
    let template = template();
    for share in load.shares() {
        let (sender, template) = (sender.clone(), template.clone());
        tokio::spawn(async move {
            for _ in 0..share {
                sender.unbounded_send(Task::new(template.clone())).expect("the storage is open");
                // The channel has no bound and sending never waits.
                tokio::task::consume_budget().await;
            }
        });
    }
    let sink: Box<dyn futures::Sink<Task<Message>, Error = MemoryStorageError> + Send + Sync + Unpin> =
        Box::new(sender.sink_map_err(MemoryStorageError::from));
    MemoryStorage::new_with(MemorySink::new(Arc::new(Mutex::new(sink))), receiver.boxed())
}
