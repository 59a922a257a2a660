//! Tests of the bus against a real server, whose URL `CHAPPE_TEST_POSTGRES` names.
#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

#[path = "../server/cluster.rs"]
mod cluster;
mod conformance;
mod faults;
mod pooler;
mod rights;
mod rows;
mod spill;
mod support;
