//! Tests against a real emulator of SQS, whose endpoint `CHAPPE_TEST_AWS` names.

mod conformance;
mod support;
