//! The PostgreSQL backend of chappe: a durable queue with leases, order, dead letters and transactional
//! publishing, and a `NOTIFY` bus.

mod bus;
mod client;
mod error;
mod publish;
mod queue;
mod store;
mod wire;

pub use bus::{PgBus, PgBusPublisher, PgBusTopic, PgSubscription};
pub use client::PgConfig;
pub use error::PgError;
pub use publish::{PgPublisher, PgTopic};
pub use queue::{PgConsumer, PgLease, PgQueue, PgReceipt};
pub use store::PgStore;

/// What OpenTelemetry calls PostgreSQL.
const SYSTEM: &str = "postgresql";
