//! What the tests share: exporters that keep what they are given, and servers that end by themselves.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::server::{Backoff, Report};
use chappe::{Message, Receiver, Server};
use chappe_memory::MemoryQueue;
use chappe_middleware::trace::otel;
use opentelemetry::propagation::TextMapCompositePropagator;
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tokio::time::sleep;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

pub const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
pub const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub const SPAN_ID: &str = "00f067aa0ba902b7";

/// Serves until all there is to do is done; failed messages come back after a second.
pub async fn serve(queue: &MemoryQueue, receiver: impl Receiver) -> Report {
    let server = Server::new(queue.clone()).backoff(Backoff::fixed(Duration::from_secs(1)));
    server.serve(receiver).with_graceful_shutdown(sleep(Duration::from_secs(60))).await.unwrap()
}

pub fn with_traceparent(value: &'static str) -> Message {
    let mut message = Message::new("a secret body");
    message.attributes_mut().insert("traceparent", value);
    message
}

/// OpenTelemetry with an exporter that keeps the spans.
#[derive(Clone, Debug)]
pub struct Otel {
    exporter: InMemorySpanExporter,
    pub provider: SdkTracerProvider,
}

impl Otel {
    pub fn new() -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        Self { exporter, provider }
    }

    pub fn publish(&self) -> otel::TracePublishLayer {
        otel::TracePublishLayer::new("memory").destination("orders").provider(&self.provider).propagator(propagator())
    }

    pub fn receive(&self) -> otel::TraceReceiveLayer {
        otel::TraceReceiveLayer::new("memory").provider(&self.provider).propagator(propagator())
    }

    /// The spans that have ended, in the order in which they did.
    pub fn spans(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap()
    }

    pub fn only(&self) -> SpanData {
        let mut spans = self.spans();
        assert_eq!(spans.len(), 1, "{spans:?}");
        spans.remove(0)
    }
}

fn propagator() -> TextMapCompositePropagator {
    TextMapCompositePropagator::new(vec![Box::new(TraceContextPropagator::new()), Box::new(BaggagePropagator::new())])
}

/// An attribute of a span, as text.
pub fn attribute(span: &SpanData, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name);
    found.map(|attribute| attribute.value.to_string())
}

pub fn trace_id(span: &SpanData) -> String {
    span.span_context.trace_id().to_string()
}

/// A subscriber of `tracing` that writes down the spans of the layers.
#[derive(Clone, Default)]
pub struct Ear(Arc<Mutex<Vec<Heard>>>);

/// A span that was heard.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    pub fields: BTreeMap<&'static str, String>,
    pub closed: bool,
}

impl Heard {
    pub fn get(&self, field: &str) -> Option<&str> {
        self.fields.get(field).map(String::as_str)
    }
}

impl Ear {
    /// The spans of the layers, in the order in which they began.
    pub fn spans(&self) -> Vec<Heard> {
        self.0.lock().unwrap().clone()
    }

    fn change(&self, id: &Id, change: impl FnOnce(&mut Heard)) {
        change(&mut self.0.lock().unwrap()[usize::try_from(id.into_u64()).unwrap() - 1]);
    }
}

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target() == "chappe::trace"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut heard = Heard::default();
        span.record(&mut heard);
        let mut all = self.0.lock().unwrap();
        all.push(heard);
        Id::from_u64(all.len() as u64)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        self.change(id, |heard| values.record(heard));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &tracing::Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn try_close(&self, id: Id) -> bool {
        self.change(&id, |heard| heard.closed = true);
        true
    }
}
