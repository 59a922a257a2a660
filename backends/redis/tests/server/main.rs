//! Tests against a real server, whose URL `CHAPPE_TEST_REDIS` is.
#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

mod broadcast;
mod bus;
mod conformance;
mod failover;
mod rows;
mod support;
#[cfg(feature = "tls")]
mod tls;
