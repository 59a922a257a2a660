//! Layers for chappe: each a `tower::Layer`, behind a cargo feature of its own.
//!
//! Tower's own layers work on receivers and topics as they are; these are the ones that know what a message
//! is. None is on by default, and none allocates where it need not. In which order to put them is a chapter
//! of chappe's guide; how codecs undo each other is told in [`codec`].
//!
//! | feature | receiving | publishing | |
//! |---|---|---|---|
//! | `base64` | [`Base64DecodeLayer`](base64::Base64DecodeLayer) | [`Base64EncodeLayer`](base64::Base64EncodeLayer) | [any body for brokers of text](mod@base64) |
//! | `breaker` | [`BreakerLayer`](breaker::BreakerLayer) | the same | [takes no messages while too many fail](breaker) |
//! | `catch-panic` | [`CatchPanicLayer`](catch_panic::CatchPanicLayer) | the same | [a panic is an error](catch_panic) |
//! | `chaos` | [`ChaosLayer`](chaos::ChaosLayer) | the same | [fails and waits at random, by a seed, for tests](chaos) |
//! | `checksum` | [`VerifyLayer`](checksum::VerifyLayer) | [`DigestLayer`](checksum::DigestLayer) | [bodies are what was sent](checksum) |
//! | `claim` | [`FetchBodyLayer`](claim::FetchBodyLayer) | [`StoreBodyLayer`](claim::StoreBodyLayer) | [large bodies in an object store](claim) |
//! | `cloudevents` | [`ReadCloudEventsLayer`](cloudevents::ReadCloudEventsLayer) | [`WriteCloudEventsLayer`](cloudevents::WriteCloudEventsLayer) | [CloudEvents](cloudevents) 1.0, binary and structured |
//! | `compress-brotli`, `-gzip`, `-lz4`, `-zstd` | [`DecompressLayer`](compress::DecompressLayer) | [`CompressLayer`](compress::CompressLayer) | [small bodies, and no bombs](compress) |
//! | `correlation` | [`AdoptCorrelationLayer`](correlation::AdoptCorrelationLayer) | [`CarryCorrelationLayer`](correlation::CarryCorrelationLayer) | [which message led to which](correlation) |
//! | `dead-letter` | [`DeadLetterLayer`](dead_letter::DeadLetterLayer) | | [publishes what failed for good, with the reason](dead_letter) |
//! | `dedup` | [`DedupLayer`](dedup::DedupLayer) | [`AssignKeyLayer`](dedup::AssignKeyLayer) | [no message is handled twice](dedup) |
//! | `dry-run` | [`AdoptDryRunLayer`](dry_run::AdoptDryRunLayer) | [`CarryDryRunLayer`](dry_run::CarryDryRunLayer), [`SuppressDryRunLayer`](dry_run::SuppressDryRunLayer) | [rehearsals](dry_run) |
//! | `encrypt` | [`DecryptLayer`](encrypt::DecryptLayer) | [`EncryptLayer`](encrypt::EncryptLayer) | [AES-256-GCM with keys that change](encrypt) |
//! | `expiry` | [`ExpireLayer`](expiry::ExpireLayer) | [`SetExpiryLayer`](expiry::SetExpiryLayer) | [messages with a best-before date](expiry) |
//! | `ignore-errors` | [`IgnoreErrorsLayer`](ignore_errors::IgnoreErrorsLayer) | | [acknowledges messages whose errors are of no matter](ignore_errors) |
//! | `metrics`, `opentelemetry` | [`MeasureReceiveLayer`](metrics::MeasureReceiveLayer) | [`MeasurePublishLayer`](metrics::MeasurePublishLayer) | [durations, outcomes, what is in flight](mod@metrics) |
//! | `opentelemetry` | [`otel::TraceReceiveLayer`](trace::otel::TraceReceiveLayer) | [`otel::TracePublishLayer`](trace::otel::TracePublishLayer) | [spans of OpenTelemetry](trace::otel) |
//! | `rate-limit` | [`RateLimitLayer`](rate_limit::RateLimitLayer) | the same | [takes no more messages than so many in a time](rate_limit) |
//! | `retry` | [`RetryLayer`](retry::RetryLayer) | the same | [tries again in this process, with backoff and a budget](retry) |
//! | `schema` | [`ValidateLayer`](schema::ValidateLayer) | [`ValidatePublishLayer`](schema::ValidatePublishLayer) | [JSON Schema](schema) |
//! | `scope` | [`FilterScopeLayer`](scope::FilterScopeLayer) | [`SetScopeLayer`](scope::SetScopeLayer) | [one subscription, several environments](scope) |
//! | `timeout` | [`TimeoutLayer`](timeout::TimeoutLayer) | the same | [limits how long a message may take, by time or by its lease](timeout) |
//! | `trace` | [`TraceReceiveLayer`](trace::TraceReceiveLayer) | [`TracePublishLayer`](trace::TracePublishLayer) | [spans of the `tracing` crate](trace) |
#![cfg_attr(
    not(all(
        feature = "base64",
        feature = "breaker",
        feature = "catch-panic",
        feature = "chaos",
        feature = "checksum",
        feature = "claim",
        feature = "cloudevents",
        feature = "compress",
        feature = "correlation",
        feature = "dead-letter",
        feature = "dedup",
        feature = "dry-run",
        feature = "encrypt",
        feature = "expiry",
        feature = "ignore-errors",
        feature = "metrics",
        feature = "opentelemetry",
        feature = "rate-limit",
        feature = "retry",
        feature = "schema",
        feature = "scope",
        feature = "timeout",
        feature = "trace",
    )),
    allow(rustdoc::broken_intra_doc_links, reason = "the table names features that are off")
)]

#[cfg(any(feature = "correlation", feature = "dedup", feature = "dry-run", feature = "expiry", feature = "scope"))]
mod amend;
#[cfg(any(feature = "breaker", feature = "retry"))]
mod answer;
#[cfg(any(feature = "correlation", feature = "dry-run"))]
mod context;
#[cfg(any(feature = "dedup", feature = "dry-run", feature = "expiry", feature = "scope"))]
mod count;
#[cfg(any(feature = "breaker", feature = "rate-limit"))]
mod line;
#[cfg(any(feature = "metrics", feature = "opentelemetry", feature = "trace"))]
mod observe;

#[cfg(feature = "base64")]
pub mod base64;
#[cfg(feature = "breaker")]
pub mod breaker;
#[cfg(feature = "catch-panic")]
pub mod catch_panic;
#[cfg(feature = "chaos")]
pub mod chaos;
#[cfg(feature = "checksum")]
pub mod checksum;
#[cfg(feature = "claim")]
pub mod claim;
#[cfg(feature = "cloudevents")]
pub mod cloudevents;
#[cfg(feature = "codec")]
pub mod codec;
#[cfg(feature = "compress")]
pub mod compress;
#[cfg(feature = "correlation")]
pub mod correlation;
#[cfg(feature = "dead-letter")]
pub mod dead_letter;
#[cfg(feature = "dedup")]
pub mod dedup;
#[cfg(feature = "dry-run")]
pub mod dry_run;
#[cfg(feature = "encrypt")]
pub mod encrypt;
#[cfg(feature = "expiry")]
pub mod expiry;
#[cfg(feature = "ignore-errors")]
pub mod ignore_errors;
#[cfg(any(feature = "metrics", feature = "opentelemetry"))]
pub mod metrics;
#[cfg(feature = "rate-limit")]
pub mod rate_limit;
#[cfg(feature = "retry")]
pub mod retry;
#[cfg(feature = "schema")]
pub mod schema;
#[cfg(feature = "scope")]
pub mod scope;
#[cfg(feature = "timeout")]
pub mod timeout;
#[cfg(feature = "trace")]
pub mod trace;

#[cfg(any(feature = "dedup", feature = "dry-run", feature = "expiry", feature = "scope"))]
pub use count::Count;
