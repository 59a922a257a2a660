//! The cases about buses.

mod cases;
mod harness;
mod listener;

pub(crate) use cases::cases;
pub use harness::{BroadcastHarness, BusFixture};
pub(crate) use listener::BusBench;
