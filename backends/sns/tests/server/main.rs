//! From a topic of SNS to a queue of SQS, against a real emulator, whose endpoint `CHAPPE_TEST_AWS` names.
#![allow(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

mod admin;
mod delivery;
mod pair;
