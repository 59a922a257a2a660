//! The server, served with the memory backend: every way things go wrong, one test each.
#![allow(clippy::unwrap_used, reason = "a test that goes wrong may panic, in its helpers as well")]
#![allow(unreachable_pub, reason = "nothing outside can reach the modules of a test")]

#[path = "../support/mod.rs"]
mod support;

mod batch;
mod broadcast;
mod failure;
mod fetch;
mod go_msg;
mod interleaving;
mod lanes;
mod lease;
mod lifecycle;
mod service;
mod settle;
mod shutdown;
mod span;
mod throttle;
mod weighted;
