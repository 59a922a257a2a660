//! Requests and answers, against an SQS in this process that fails the way the real one does.
#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

mod consume;
mod fake;
mod kit;
mod order;
mod publish;
mod serve;
mod settle;
