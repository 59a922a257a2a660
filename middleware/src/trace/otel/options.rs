//! [`Options`], what a layer was told of its spans, and how it begins them.

use std::borrow::Cow;
use std::sync::Arc;

use chappe_core::Message;
use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::{Link, SpanBuilder, SpanContext, SpanKind, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, InstrumentationScope, KeyValue, StringValue, global};

use super::propagate::Propagation;
use super::watch::{Call, TraceWatch};
use crate::observe::name;
use crate::trace::Relation;
use crate::trace::span::was_received;

/// What a layer was told of its spans.
#[derive(Clone, Debug)]
pub(super) struct Options {
    tracer: Arc<BoxedTracer>,
    pub(super) propagation: Propagation,
    operation: &'static str,
    pub(super) destination: Option<StringValue>,
    /// What all spans have in common.
    common: Vec<KeyValue>,
    pub(super) relation: Relation,
    pub(super) errors: bool,
}

impl Options {
    pub(super) fn new(operation: &'static str, system: Cow<'static, str>) -> Self {
        let common = vec![
            KeyValue::new(name::SYSTEM, system),
            KeyValue::new(name::OPERATION, operation),
            KeyValue::new(name::OPERATION_TYPE, operation),
        ];
        Self {
            tracer: Arc::new(global::tracer_with_scope(scope())),
            propagation: Propagation::default(),
            operation,
            destination: None,
            common,
            relation: Relation::default(),
            errors: false,
        }
    }

    pub(super) fn set_provider<P>(&mut self, provider: &P)
    where
        P: TracerProvider<Tracer: Tracer<Span: Send + Sync + 'static> + Send + Sync + 'static>,
    {
        self.tracer = Arc::new(BoxedTracer::new(Box::new(provider.tracer_with_scope(scope()))));
    }

    /// Adds an attribute to all spans, or replaces one.
    pub(super) fn set_attribute(&mut self, attribute: KeyValue) {
        self.common.retain(|have| have.key != attribute.key);
        self.common.push(attribute);
    }

    /// Begins publishing a message.
    pub(super) fn publish(&self, message: &mut Message) -> TraceWatch {
        let around = Context::current();
        // A context somebody gave the message stays; one it was received with has served its purpose.
        let given = match was_received(message) {
            true => None,
            false => self.propagation.extract(&Context::new(), message.attributes()).1,
        };
        let kind = if given.is_some() { SpanKind::Client } else { SpanKind::Producer };
        let mut span = self.span(kind, self.destination.clone(), 0);
        let is_given = given.is_some();
        span.links = given.map(|given| vec![Link::with_context(given)]);
        let context = around.with_span(self.tracer.build_with_context(span, &around));
        if !is_given {
            self.propagation.inject(&context, message.attributes_mut());
        }
        TraceWatch::new(context, Call::Publish(message.id().cloned()), self.errors)
    }

    /// Begins handling a message.
    pub(super) fn receive(&self, message: &Message) -> TraceWatch {
        let around = Context::current();
        let ambient = Some(around.span().span_context().clone()).filter(SpanContext::is_valid);
        let (mut context, found) = self.propagation.extract(&around, message.attributes());
        let mut span = self.span(SpanKind::Consumer, self.source(Some(message)), 2);
        if let Some(id) = message.id() {
            push(&mut span, KeyValue::new(name::MESSAGE_ID, id.to_string()));
        }
        if message.attempt() > 0 {
            push(&mut span, KeyValue::new(name::ATTEMPT, i64::from(message.attempt())));
        }
        let link = match (found, self.relation) {
            (None, _) => None,
            (Some(_), Relation::Parent) => ambient,
            (Some(found), Relation::Link) => {
                context = around;
                Some(found)
            }
        };
        span.links = link.map(|link| vec![Link::with_context(link)]);
        let context = context.with_span(self.tracer.build_with_context(span, &context));
        TraceWatch::new(context, Call::Receive, self.errors)
    }

    /// Begins handling a batch.
    pub(super) fn receive_batch(&self, messages: &[Message]) -> TraceWatch {
        let around = Context::current();
        let mut span = self.span(SpanKind::Consumer, self.source(messages.first()), 1);
        push(&mut span, KeyValue::new(name::BATCH_COUNT, i64::try_from(messages.len()).unwrap_or(i64::MAX)));
        let apart = Context::new();
        let links = messages.iter().filter_map(|message| {
            let found = self.propagation.extract(&apart, message.attributes()).1?;
            let id = message.id().map(|id| KeyValue::new(name::MESSAGE_ID, id.to_string()));
            Some(Link::new(found, id.into_iter().collect(), 0))
        });
        span.links = Some(links.collect());
        let context = around.with_span(self.tracer.build_with_context(span, &around));
        TraceWatch::new(context, Call::Receive, self.errors)
    }

    /// A span with what all have in common, and room for `more` attributes.
    fn span(&self, kind: SpanKind, destination: Option<StringValue>, more: usize) -> SpanBuilder {
        let name = match &destination {
            Some(destination) => Cow::Owned(format!("{} {destination}", self.operation)),
            None => Cow::Borrowed(self.operation),
        };
        let mut attributes = Vec::with_capacity(self.common.len() + 1 + more);
        attributes.extend_from_slice(&self.common);
        attributes.extend(destination.map(|destination| KeyValue::new(name::DESTINATION, destination)));
        let mut span = SpanBuilder::from_name(name).with_kind(kind);
        span.attributes = Some(attributes);
        span
    }

    fn source(&self, message: Option<&Message>) -> Option<StringValue> {
        let own = || message.and_then(Message::source).map(|source| StringValue::from(source.to_owned()));
        self.destination.clone().or_else(own)
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(name::SCHEMA)
        .build()
}

fn push(span: &mut SpanBuilder, attribute: KeyValue) {
    span.attributes.get_or_insert_default().push(attribute);
}
