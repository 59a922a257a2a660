//! Events: on the wire, emitted, and consumed through retries.
#![cfg(all(feature = "event", feature = "memory"))]
#![allow(clippy::unwrap_used, reason = "a test that goes wrong may panic, in its helpers as well")]

mod consume;
mod emit;
mod extract;
mod wire;
