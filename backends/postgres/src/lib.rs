//! The PostgreSQL backend of chappe: a durable queue with leases, order, dead letters and transactional
//! publishing, and a `NOTIFY` bus.

mod bus;
#[allow(dead_code, unused_imports, reason = "until there is a queue")]
mod client;
mod error;

pub use bus::{PgBus, PgBusBuilder, PgBusPublisher, PgBusTopic, PgSubscription};
pub use client::PgConfig;
pub use error::PgError;

/// What OpenTelemetry calls PostgreSQL.
const SYSTEM: &str = "postgresql";
