//! Tests against a real emulator of SQS, whose endpoint `CHAPPE_TEST_AWS` names.
#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

mod conformance;
mod rows;
mod shim;
mod support;
