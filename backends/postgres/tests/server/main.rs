//! What needs a real server.
#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

mod cluster;
mod conformance;
mod crash;
mod failover;
mod notify;
mod pooler;
mod queue;
mod rows;
mod support;
#[cfg(feature = "tls")]
mod tls;
mod transaction;
