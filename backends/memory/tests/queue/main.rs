//! What the queue promises, shown on the queue alone.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

mod capacity;
mod close;
mod consumer;
mod dead;
mod fault;
mod kit;
mod lease;
mod order;
mod publish;
mod settle;
