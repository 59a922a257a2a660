//! The spans of the `tracing` crate, and the contexts that go with them.

use std::borrow::Cow;
use std::fmt;

use chappe_core::{Message, MessageId};
use tracing::field::{Empty, display};
use tracing::{Span, info_span};

use super::current::{current, within};
use super::wire::Carried;
use super::{Relation, TraceContext, Wire};
use crate::observe::{Ending, Watch};

/// What a layer was told of its spans.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) system: Cow<'static, str>,
    pub(super) destination: Option<Cow<'static, str>>,
    pub(super) wire: Wire,
    pub(super) relation: Relation,
    pub(super) errors: bool,
}

impl Options {
    pub(super) fn new(system: Cow<'static, str>) -> Self {
        Self { system, destination: None, wire: Wire::default(), relation: Relation::default(), errors: false }
    }

    /// Begins publishing a message.
    pub(super) fn publish(&self, message: &mut Message) -> TraceWatch {
        let destination = self.destination.as_deref();
        // A context somebody gave the message stays; one it was received with has served its purpose.
        let given = if was_received(message) { None } else { Carried::read(message.attributes()) };
        let span = info_span!(
            target: "chappe::trace",
            "send",
            otel.name = display(Name("send", destination)),
            otel.kind = if given.is_some() { "client" } else { "producer" },
            messaging.system = &*self.system,
            messaging.destination.name = destination,
            messaging.operation.name = "send",
            messaging.operation.type = "send",
            messaging.message.id = Empty,
            trace_id = Empty,
            span_id = Empty,
            parent_span_id = Empty,
            link = Empty,
            error.type = Empty,
            error = Empty,
            otel.status_code = Empty,
        );
        let mut place = current();
        if !span.is_disabled() {
            if let Some(given) = &given {
                span.record("link", display(given.context));
            }
            place = Some(child(&span, place.or_else(|| given.clone())));
        }
        if let Some(place) = place.as_ref().filter(|_| given.is_none()) {
            place.write(message.attributes_mut(), self.wire);
        }
        TraceWatch { span, place, id: message.id().cloned(), errors: self.errors }
    }

    /// Begins handling a message.
    pub(super) fn receive(&self, message: &Message) -> TraceWatch {
        let destination = self.destination.as_deref().or_else(|| message.source());
        let span = info_span!(
            target: "chappe::trace",
            "process",
            otel.name = display(Name("process", destination)),
            otel.kind = "consumer",
            messaging.system = &*self.system,
            messaging.destination.name = destination,
            messaging.operation.name = "process",
            messaging.operation.type = "process",
            messaging.message.id = message.id().map(display),
            chappe.attempt = message.attempt(),
            chappe.outcome = Empty,
            trace_id = Empty,
            span_id = Empty,
            parent_span_id = Empty,
            link = Empty,
            error.type = Empty,
            error = Empty,
            otel.status_code = Empty,
        );
        let carried = Carried::read(message.attributes());
        let place = match (carried, self.relation) {
            // The level of a log is no reason to break a trace that goes through here.
            (carried, _) if span.is_disabled() => carried,
            (Some(carried), Relation::Link) => {
                span.record("link", display(carried.context));
                Some(child(&span, None))
            }
            (carried, _) => Some(child(&span, carried.or_else(current))),
        };
        TraceWatch { span, place, id: None, errors: self.errors }
    }

    /// Begins handling a batch.
    pub(super) fn receive_batch(&self, messages: &[Message]) -> TraceWatch {
        let destination = self.destination.as_deref().or_else(|| messages.first()?.source());
        let span = info_span!(
            target: "chappe::trace",
            "process",
            otel.name = display(Name("process", destination)),
            otel.kind = "consumer",
            messaging.system = &*self.system,
            messaging.destination.name = destination,
            messaging.operation.name = "process",
            messaging.operation.type = "process",
            messaging.batch.message_count = messages.len(),
            links = display(Links(messages)),
            chappe.outcome = Empty,
            trace_id = Empty,
            span_id = Empty,
            parent_span_id = Empty,
            error.type = Empty,
            error = Empty,
            otel.status_code = Empty,
        );
        let place = if span.is_disabled() { None } else { Some(child(&span, current())) };
        TraceWatch { span, place, id: None, errors: self.errors }
    }
}

/// A span, and the context it makes.
#[derive(Debug)]
pub(super) struct TraceWatch {
    span: Span,
    /// Where the call is; without one it is where it was called.
    place: Option<Carried>,
    /// What the message is called if the broker does not name it anew.
    id: Option<MessageId>,
    errors: bool,
}

impl Watch for TraceWatch {
    fn within<T>(&mut self, part: impl FnOnce() -> T) -> T {
        let Self { span, place, .. } = self;
        match place {
            Some(_) => span.in_scope(|| within(place, part)),
            None => part(),
        }
    }

    fn end(&mut self, ending: Ending<'_>) {
        let span = &self.span;
        if span.is_disabled() {
            return;
        }
        let id = match ending {
            Ending::Published(published) => published.id.as_ref().or(self.id.as_ref()),
            _ => self.id.as_ref(),
        };
        span.record("messaging.message.id", id.map(display));
        // Spans of publishing have no such field, and leave it out.
        span.record("chappe.outcome", ending.end().outcome());
        if let Some(kind) = ending.end().error_type() {
            span.record("error.type", kind);
            span.record("otel.status_code", "ERROR");
            if self.errors {
                span.record("error", ending.detail().map(display));
            }
        }
    }
}

/// As [`Message::into_outgoing`] sees it.
pub(super) fn was_received(message: &Message) -> bool {
    message.source().is_some() || message.attempt() > 0
}

/// The place of a span below `parent`, or of one that begins a trace.
fn child(span: &Span, parent: Option<Carried>) -> Carried {
    let context = match &parent {
        Some(parent) => {
            span.record("parent_span_id", display(format_args!("{:016x}", parent.context.span_id())));
            parent.context.child()
        }
        None => TraceContext::root(),
    };
    span.record("trace_id", display(format_args!("{:032x}", context.trace_id())));
    span.record("span_id", display(format_args!("{:016x}", context.span_id())));
    parent.map_or_else(|| Carried::new(context), |parent| parent.at(context))
}

/// The name of a span by the conventions: the operation, and where if that is known.
struct Name<'a>(&'static str, Option<&'a str>);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(destination) => write!(f, "{} {destination}", self.0),
            None => f.write_str(self.0),
        }
    }
}

/// The contexts of messages, as many as an exporter of OpenTelemetry takes by default.
struct Links<'a>(&'a [Message]);

impl Links<'_> {
    const MAX: usize = 128;
}

impl fmt::Display for Links<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let contexts = self.0.iter().filter_map(|message| Carried::read(message.attributes()));
        for (at, carried) in contexts.take(Self::MAX).enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}", carried.context)?;
        }
        Ok(())
    }
}
