//! Layers for chappe: each a `tower::Layer`, behind a cargo feature of its own.
//!
//! Tower's own layers work on receivers and topics as they are; these are the ones that know what a message
//! is. None is on by default.
//!
//! | feature | what it does | on |
//! |---|---|---|
//! | [`breaker`](breaker/index.html) | takes no messages while too many fail, and tries with a single one | both |
//! | [`catch-panic`](catch_panic/index.html) | turns a panic into an error | both |
//! | [`chaos`](chaos/index.html) | fails and waits at random, by a seed, for tests | both |
//! | [`dead-letter`](dead_letter/index.html) | publishes what failed for good, with the reason | receivers |
//! | [`ignore-errors`](ignore_errors/index.html) | acknowledges messages whose errors are of no matter | receivers |
//! | [`rate-limit`](rate_limit/index.html) | takes no more messages than so many in a time | both |
//! | [`retry`](retry/index.html) | tries again within the process, with backoff and a budget | both |
//! | [`timeout`](timeout/index.html) | limits how long a message may take, by time or by its lease | both |
//!
//! None of these allocates for a message that does not fail. Most cost it about 15 ns; `dead-letter` and `retry`
//! keep a copy of it, and `rate-limit` looks at the clock, which is two to three times that
//! (`benches/failure.rs`). In which order to put them is a chapter of chappe's guide.

#[cfg(any(feature = "breaker", feature = "retry"))]
mod answer;
#[cfg(feature = "breaker")]
pub mod breaker;
#[cfg(feature = "catch-panic")]
pub mod catch_panic;
#[cfg(feature = "chaos")]
pub mod chaos;
#[cfg(feature = "dead-letter")]
pub mod dead_letter;
#[cfg(feature = "ignore-errors")]
pub mod ignore_errors;
#[cfg(any(feature = "breaker", feature = "rate-limit"))]
mod line;
#[cfg(feature = "rate-limit")]
pub mod rate_limit;
#[cfg(feature = "retry")]
pub mod retry;
#[cfg(feature = "timeout")]
pub mod timeout;
