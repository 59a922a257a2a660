//! The layers about failure, stepped by hand and served.
#![allow(clippy::future_not_send, reason = "tests are not spawned")]
#![allow(unreachable_pub, reason = "a test program has no other public")]
#![allow(clippy::unwrap_used, reason = "only tests call it")]

mod accounting;
mod breaker;
mod catch_panic;
mod chaos;
mod dead_letter;
mod ignore_errors;
mod rate_limit;
mod retry;
mod served;
mod support;
mod timeout;
