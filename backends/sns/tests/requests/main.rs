//! What is asked of SNS, and what is made of its answers: against a connector in this process.
#![allow(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

mod answers;
mod failures;
mod fake;
mod requests;
