//! The conformance suite every chappe backend passes.

mod relay;

pub use relay::{Direction, Relay};
