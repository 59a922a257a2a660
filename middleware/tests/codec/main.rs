//! The layers that change a body: each of them, both of a pair, and stacks of them.
#![allow(clippy::unwrap_used, reason = "only tests call it")]
#![allow(clippy::future_not_send, reason = "tests are not spawned")]

mod attempts;
mod base64;
mod checksum;
mod claim;
mod compress;
mod encrypt;
mod flaky;
mod kit;
mod random;
mod recode;
mod stack;
