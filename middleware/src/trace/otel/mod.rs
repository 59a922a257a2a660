//! Traces by OpenTelemetry: its spans, its propagators, its baggage.
//!
//! As [the layers of `tracing`](super), with these differences:
//!
//! - Spans are made by the global tracer provider, or one that is [given](TracePublishLayer::provider); which
//!   of them are recorded, its sampler says. Set the provider before the layers are made.
//! - Contexts are written and read by the global propagator, or one that is
//!   [given](TracePublishLayer::propagator), with all it knows, such as baggage. Without one nothing is
//!   propagated, so set one: OpenTelemetry has none by default.
//! - The context around is OpenTelemetry's own [`Context::current`], as for libraries of others: with
//!   `tracing-opentelemetry`, spans of `tracing` opened by a handler are below the span here, and what is
//!   published in them is below them.
//! - A batch has a link to each message, with the message's id.
//! - A message has a link to whatever span is around when it is handled as a child of its publisher.
//!
//! OpenCensus' `Tracecontext` is read where the propagator finds nothing. What was a `tracestate` goes along.
//!
//! # Cost
//!
//! About a microsecond for a message, and five to nine allocations, most of them OpenTelemetry's own,
//! whether the span is recorded or not: `benches/observe.rs`. [The layers of `tracing`](super) cost next to
//! nothing while nobody listens.
//!
//! [`Context::current`]: opentelemetry::Context::current

mod carrier;
mod future;
mod options;
mod propagate;
mod publish;
mod receive;
mod watch;

pub use future::ResponseFuture;
pub use publish::{TracePublish, TracePublishLayer};
pub use receive::{TraceReceive, TraceReceiveLayer};
