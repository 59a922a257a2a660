//! Requests and answers, against an SQS that is a function.
