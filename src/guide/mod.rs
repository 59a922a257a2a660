//! The guide: what chappe is and how to write a service with it, to be read in order.
//!
//! 1. [Concepts](concepts): messages, topics, queues, receivers, and what holds them together.
//! 2. [Writing a receiver](receiver): handlers, extractors, the router, and layers.
//! 3. [Failure and retry](failure): what becomes of a message, on every path.
//! 4. [Layers](layers): which one to put where, and what each does to leases and retries.
//! 5. [Shutting down](shutdown): how a server ends, and what it says then.
//! 6. [Testing](testing): one message, what is published, and whole pipelines.
//!
//! All examples run as they stand, on the [memory backend](crate::memory), and need no broker.

#[doc = include_str!("concepts.md")]
pub mod concepts {}

#[doc = include_str!("receiver.md")]
pub mod receiver {}

#[doc = include_str!("failure.md")]
pub mod failure {}

#[doc = include_str!("layers.md")]
pub mod layers {}

#[doc = include_str!("shutdown.md")]
pub mod shutdown {}

#[doc = include_str!("testing.md")]
pub mod testing {}
