//! The one piece of work everything here measures: publish, hand to a handler, acknowledge.
//!
//! Shared by the benches, by the gates and by the comparison with other crates, so that a number in one
//! means the same as a number in another.

#![allow(dead_code, unreachable_pub, reason = "each program that includes this uses a part of it")]
#![allow(clippy::missing_panics_doc, reason = "a measurement that goes wrong is to panic")]

pub mod latency;
pub mod layer;
pub mod load;
pub mod raw;
pub mod served;

pub use load::{Load, Sink, Threads, template};
