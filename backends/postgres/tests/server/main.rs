//! What needs a real server.

mod cluster;
mod conformance;
mod queue;
mod rows;
mod support;
mod transaction;
