//! The Redis backend of chappe.

mod address;
mod bus;
mod error;
mod keys;
mod limit;
mod link;
mod publish;
mod queue;
mod script;
mod version;
mod wire;

pub use address::RedisAddress;
pub use bus::{RedisBus, RedisBusPublisher, RedisBusTopic, RedisSubscription};
pub use publish::{RedisPublisher, RedisTopic};
pub use queue::{RedisConsumer, RedisQueue, RedisReceipt};

/// The name OpenTelemetry has for Redis.
const SYSTEM: &str = "redis";
