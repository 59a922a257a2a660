//! Traces that follow a message from whoever publishes it to whoever handles it, and on to what is published
//! meanwhile.
//!
//! [`TracePublishLayer`] goes around a topic: it opens a span and writes its context to the message, as the
//! W3C's `traceparent`. [`TraceReceiveLayer`] goes around a receiver: it reads the context and opens a span
//! below it, and whatever the receiver publishes while it handles the message is published below that. So a
//! chain of services is one trace.
//!
//! There are two of each. Those here open spans of the `tracing` crate and need nothing else: ids are made
//! here and are fields of the spans. Those of [`otel`] make spans of OpenTelemetry. Use one or the other, at
//! both ends of a service; between services they understand each other.
//!
//! # What happens when
//!
//! | | |
//! |---|---|
//! | a message has no context, or a malformed one | its span begins a trace, or belongs to the one the code around is in; nothing fails, and attributes stay as they are |
//! | it has OpenCensus' `Tracecontext` and no `traceparent` that can be read | that is its context |
//! | it is published, and was received before | the context it came with is replaced; its other attributes stay, baggage among them |
//! | it is published, was not received, and has a context | that stays, since its maker gave it: the span refers to it |
//! | it is tried again | a span for each attempt, all below the one that published it |
//! | a batch is handled | one span that refers to the context of each message |
//! | the answer is an error, a retry, a rejection or a throttling | the span is one of an error, with its `error.type` |
//! | the handler panics, or its future is dropped | the same, with `panic` or `cancelled` |
//! | nobody listens | no span, no ids, no text; a context that is there is passed on as it came |
//!
//! # Fields
//!
//! Those of OpenTelemetry's [conventions for messaging][conventions], `send {destination}` and
//! `process {destination}` for names, in spans of the target `chappe::trace`; `trace_id`, `span_id`,
//! `parent_span_id`, and `link` or `links` for what a span refers to; `chappe.attempt`, and
//! `chappe.outcome`, which is `ack`, `retry`, `reject`, `throttle` or `dropped`. Never a body, nor the text of
//! an error unless it is asked for.
//!
//! The server opens a span `process` of its own, of the target `chappe::server`, which knows no trace. The
//! spans here are inside it; filter it out to see one for each message.
//!
//! # Order
//!
//! Both go outermost: around layers that change the body, so that they are measured too, and around retries
//! in process, so that those are parts of one attempt. A context is written before a message is compressed
//! or encrypted, and attributes bound to it come along.
//!
//! # Cost
//!
//! While nobody listens a message without a context costs a look at the names of its attributes, and no
//! allocation. Writing a context to a message takes two allocations, for the text and for the attributes if
//! they are shared with a clone; what a span costs, the subscriber says. Measured by `benches/observe.rs`.
//!
//! [conventions]: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/

mod context;
mod current;
mod future;
#[cfg(feature = "opentelemetry")]
pub mod otel;
mod publish;
mod receive;
mod relation;
mod span;
mod wire;

pub use context::TraceContext;
pub use current::{InTrace, in_current_trace};
pub use future::ResponseFuture;
pub use publish::{TracePublish, TracePublishLayer};
pub use receive::{TraceReceive, TraceReceiveLayer};
pub use relation::Relation;
pub use wire::Wire;
