//! The PostgreSQL backend of chappe: a durable queue with leases, order, dead letters and transactional
//! publishing, and a `NOTIFY` bus.

#[allow(dead_code, unused_imports, reason = "until there is a queue")]
mod client;
mod error;

pub use client::PgConfig;
pub use error::PgError;

/// What OpenTelemetry calls PostgreSQL.
#[allow(dead_code, reason = "until there is a queue")]
const SYSTEM: &str = "postgresql";
