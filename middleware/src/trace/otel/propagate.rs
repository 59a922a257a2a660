//! [`Propagation`], how contexts get into messages and out of them.

use std::fmt;
use std::sync::Arc;

use chappe_core::Attributes;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, global};

use super::carrier::{Source, Target};
use crate::trace::wire::{BAGGAGE, TRACESTATE, is_tracestate, read_opencensus, write_opencensus};
use crate::trace::{TraceContext, Wire};

/// How contexts get into messages and out of them.
#[derive(Clone, Default)]
pub(super) struct Propagation {
    /// The global one if there is none.
    pub(super) propagator: Option<Arc<dyn TextMapPropagator + Send + Sync>>,
    pub(super) wire: Wire,
}

impl Propagation {
    /// Writes a context to a message, in place of one it has.
    pub(super) fn inject(&self, context: &Context, attributes: &mut Attributes) {
        let span = context.span();
        let span = span.span_context();
        if !span.is_valid() {
            return;
        }
        let wire = self.wire;
        self.with(|propagator| {
            // Baggage may be the publisher's own; it is replaced where there is some here.
            for field in propagator.fields().filter(|field| *field != BAGGAGE) {
                attributes.remove(field);
            }
            if wire.has_w3c() {
                propagator.inject_context(context, &mut Target { attributes, wire });
            }
        });
        write_opencensus(attributes, wire, to_ours(span));
        if !wire.has_w3c() {
            let state = span.trace_state().header();
            if state.is_empty() {
                attributes.remove(TRACESTATE);
            } else {
                attributes.insert(wire.name(TRACESTATE), state);
            }
        }
    }

    /// Reads the context of a message: `around` with what the message says, and the span it refers to, if it
    /// does.
    pub(super) fn extract(&self, around: &Context, attributes: &Attributes) -> (Context, Option<SpanContext>) {
        if attributes.is_empty() {
            return (around.clone(), None);
        }
        let context = self.with(|propagator| propagator.extract_with_context(around, &Source(attributes)));
        let found = context.span().span_context().clone();
        if found.is_valid() && found != *around.span().span_context() {
            return (context, Some(found));
        }
        match read_opencensus(attributes) {
            Some(ours) => {
                let found = to_theirs(ours, attributes);
                (context.with_remote_span_context(found.clone()), Some(found))
            }
            None => (context, None),
        }
    }

    fn with<T>(&self, mut call: impl FnMut(&dyn TextMapPropagator) -> T) -> T {
        match &self.propagator {
            Some(propagator) => call(&**propagator),
            None => global::get_text_map_propagator(call),
        }
    }
}

impl fmt::Debug for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let propagator = if self.propagator.is_some() { "own" } else { "global" };
        f.debug_struct("Propagation").field("propagator", &propagator).field("wire", &self.wire).finish()
    }
}

fn to_ours(span: &SpanContext) -> Option<TraceContext> {
    let trace_id = u128::from_be_bytes(span.trace_id().to_bytes());
    TraceContext::new(trace_id, u64::from_be_bytes(span.span_id().to_bytes()), span.is_sampled())
}

fn to_theirs(ours: TraceContext, attributes: &Attributes) -> SpanContext {
    let flags = TraceFlags::default().with_sampled(ours.is_sampled());
    let state = attributes.get_str(TRACESTATE).filter(|state| is_tracestate(state)).and_then(|state| {
        let pairs = state.split(',').filter_map(|pair| pair.trim().split_once('='));
        TraceState::from_key_value(pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))).ok()
    });
    let (trace_id, span_id) = (TraceId::from(ours.trace_id()), SpanId::from(ours.span_id()));
    SpanContext::new(trace_id, span_id, flags, true, state.unwrap_or_default())
}
