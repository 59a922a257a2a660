//! Requests and answers, against an SQS in this process that fails the way the real one does.

mod consume;
mod fake;
mod kit;
mod order;
mod publish;
mod serve;
mod settle;
