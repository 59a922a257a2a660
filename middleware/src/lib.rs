//! Layers for chappe: each a `tower::Layer`, behind a cargo feature of its own.
//!
//! Tower's own layers work on receivers and topics as they are; these are about messages.
//!
//! | feature | receiving | publishing | |
//! |---|---|---|---|
//! | `cloudevents` | [`ReadCloudEventsLayer`](cloudevents::ReadCloudEventsLayer) | [`WriteCloudEventsLayer`](cloudevents::WriteCloudEventsLayer) | [CloudEvents](cloudevents) 1.0, binary and structured |
//! | `correlation` | [`AdoptCorrelationLayer`](correlation::AdoptCorrelationLayer) | [`CarryCorrelationLayer`](correlation::CarryCorrelationLayer) | [which message led to which](correlation) |
//! | `dedup` | [`DedupLayer`](dedup::DedupLayer) | [`AssignKeyLayer`](dedup::AssignKeyLayer) | [no message is handled twice](dedup) |
//! | `dry-run` | [`AdoptDryRunLayer`](dry_run::AdoptDryRunLayer) | [`CarryDryRunLayer`](dry_run::CarryDryRunLayer), [`SuppressDryRunLayer`](dry_run::SuppressDryRunLayer) | [rehearsals](dry_run) |
//! | `expiry` | [`ExpireLayer`](expiry::ExpireLayer) | [`SetExpiryLayer`](expiry::SetExpiryLayer) | [messages with a best-before date](expiry) |
//! | `schema` | [`ValidateLayer`](schema::ValidateLayer) | [`ValidatePublishLayer`](schema::ValidatePublishLayer) | [JSON Schema](schema) |
//! | `scope` | [`FilterScopeLayer`](scope::FilterScopeLayer) | [`SetScopeLayer`](scope::SetScopeLayer) | [one subscription, several environments](scope) |
#![cfg_attr(
    not(all(
        feature = "cloudevents",
        feature = "correlation",
        feature = "dedup",
        feature = "dry-run",
        feature = "expiry",
        feature = "schema",
        feature = "scope",
    )),
    allow(rustdoc::broken_intra_doc_links, reason = "the table names features that are off")
)]

#[cfg(any(feature = "correlation", feature = "dry-run"))]
mod context;
#[cfg(any(feature = "dedup", feature = "dry-run", feature = "expiry", feature = "scope"))]
mod count;

#[cfg(feature = "cloudevents")]
pub mod cloudevents;
#[cfg(feature = "correlation")]
pub mod correlation;
#[cfg(feature = "dedup")]
pub mod dedup;
#[cfg(feature = "dry-run")]
pub mod dry_run;
#[cfg(feature = "expiry")]
pub mod expiry;
#[cfg(feature = "schema")]
pub mod schema;
#[cfg(feature = "scope")]
pub mod scope;

#[cfg(any(feature = "dedup", feature = "dry-run", feature = "expiry", feature = "scope"))]
pub use count::Count;
