//! The layers that watch: traces and metrics, stepped by hand and over the memory backend.
#![allow(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]
#![allow(unreachable_pub, reason = "a test program has no public items")]

mod lossless;
mod metrics;
mod metrics_otel;
mod otel;
mod otel_wire;
mod support;
mod trace;
