//! The in-memory backend of chappe: a work queue and a fan-out bus with real broker semantics.

mod bus;
mod fault;
mod queue;

pub use bus::{BusPublish, MemoryBus, MemoryBusTopic, MemorySubscription};
pub use fault::Chance;
pub use queue::{MemoryConsumer, MemoryQueue, MemoryQueueBuilder, MemoryReceipt, MemoryTopic, Publish, QueueFaults};
