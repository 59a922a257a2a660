//! Tests of the bus against a real server, whose URL `CHAPPE_TEST_POSTGRES` names.
#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

#[path = "../server/cluster.rs"]
#[expect(dead_code, reason = "the tests of queues use all of it")]
mod cluster;
mod conformance;
mod faults;
mod pooler;
mod rights;
mod rows;
mod spill;
mod support;
