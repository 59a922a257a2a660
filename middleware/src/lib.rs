//! Layers for chappe: each a `tower::Layer`, behind a cargo feature of its own.
//!
//! Tower's own layers work on receivers and topics as they are; these are about messages.
//!
//! | feature | receiving | publishing | |
//! |---|---|---|---|
//! | `metrics`, `opentelemetry` | [`MeasureReceiveLayer`](metrics::MeasureReceiveLayer) | [`MeasurePublishLayer`](metrics::MeasurePublishLayer) | [durations, outcomes, what is in flight](mod@metrics) |
//! | `opentelemetry` | [`otel::TraceReceiveLayer`](trace::otel::TraceReceiveLayer) | [`otel::TracePublishLayer`](trace::otel::TracePublishLayer) | [spans of OpenTelemetry](trace::otel) |
//! | `trace` | [`TraceReceiveLayer`](trace::TraceReceiveLayer) | [`TracePublishLayer`](trace::TracePublishLayer) | [spans of the `tracing` crate](trace) |
#![cfg_attr(
    not(all(feature = "metrics", feature = "opentelemetry", feature = "trace")),
    allow(rustdoc::broken_intra_doc_links, reason = "the table names features that are off")
)]

#[cfg(any(feature = "metrics", feature = "opentelemetry", feature = "trace"))]
mod observe;

#[cfg(any(feature = "metrics", feature = "opentelemetry"))]
pub mod metrics;
#[cfg(feature = "trace")]
pub mod trace;
