//! The in-memory backend of chappe: a work queue and a fan-out bus with real broker semantics.

mod fault;
mod queue;

pub use fault::Chance;
pub use queue::{MemoryConsumer, MemoryQueue, MemoryQueueBuilder, MemoryReceipt, MemoryTopic, Publish, QueueFaults};
