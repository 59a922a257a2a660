//! What needs a real server.

mod cluster;
mod conformance;
mod crash;
mod failover;
mod notify;
mod pooler;
mod queue;
mod rows;
mod support;
mod transaction;
