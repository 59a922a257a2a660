//! What the layers that watch cost, each over a service that answers at once: nanoseconds and allocations a
//! message.
//!
//! `cargo bench -p chappe-middleware --all-features --bench observe`. A message is cloned for each call, as a
//! publisher's template is, so the first change to its attributes takes a copy: `attribute` shows what that
//! costs by itself.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]
#![allow(missing_docs, reason = "a program")]

use std::alloc::System;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use chappe_core::{BoxError, Message, Published};
use chappe_middleware::metrics::{MeasurePublishLayer, MeasureReceiveLayer};
use chappe_middleware::trace::{TracePublishLayer, TraceReceiveLayer, otel};
use metrics_exporter_prometheus::PrometheusBuilder;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::{Layer, Service, service_fn};
use tracing_subscriber::Registry;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALLS: u32 = 200_000;
const ROUNDS: u32 = 5;

fn main() {
    // Cargo runs a bench with `--bench`, and a test of it without: nothing is measured then.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("run by `cargo bench`");
        return;
    }
    let (plain, traced) = (message(), traced());
    println!("{:<34} {:>8} {:>12}", "", "ns", "allocations");
    row("receive, no layer", &plain, receiver());
    row("publish, no layer", &plain, topic());
    row("attribute", &plain, service_fn(attribute));

    row("trace receive, nobody listens", &plain, TraceReceiveLayer::new("memory").layer(receiver()));
    row("  with a traceparent", &traced, TraceReceiveLayer::new("memory").layer(receiver()));
    row("trace publish, nobody listens", &plain, TracePublishLayer::new("memory").layer(topic()));
    tracing::subscriber::with_default(Registry::default(), || {
        row("trace receive, a registry listens", &traced, TraceReceiveLayer::new("memory").layer(receiver()));
        row("trace publish, a registry listens", &plain, TracePublishLayer::new("memory").layer(topic()));
    });

    let (receive, publish) = (otel::TraceReceiveLayer::new("memory"), otel::TracePublishLayer::new("memory"));
    row("otel receive, no provider", &traced, receive.layer(receiver()));
    row("otel publish, no provider", &plain, publish.layer(topic()));
    for (sampler, what) in [(Sampler::AlwaysOff, "not sampled"), (Sampler::AlwaysOn, "recorded")] {
        let provider = SdkTracerProvider::builder().with_sampler(sampler).with_span_processor(Nowhere).build();
        let propagator = TraceContextPropagator::new;
        let receive = receive.clone().provider(&provider).propagator(propagator());
        let publish = publish.clone().provider(&provider).propagator(propagator());
        row(&format!("otel receive, {what}"), &traced, receive.layer(receiver()));
        row(&format!("otel publish, {what}"), &plain, publish.layer(topic()));
    }

    row("measure receive, no recorder", &plain, MeasureReceiveLayer::new("memory").layer(receiver()));
    row("measure publish, no recorder", &plain, MeasurePublishLayer::new("memory").layer(topic()));
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        // As the server of metrics does now and then; without it histograms keep all they are given.
        let upkeep = || handle.run_upkeep();
        row_with("measure receive, prometheus", &plain, MeasureReceiveLayer::new("memory").layer(receiver()), upkeep);
        row_with("measure publish, prometheus", &plain, MeasurePublishLayer::new("memory").layer(topic()), upkeep);
    });
    let reader = PeriodicReader::builder(InMemoryMetricExporter::default()).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    let meter = provider.meter("bench");
    row("measure receive, otel", &plain, MeasureReceiveLayer::from_meter("memory", &meter).layer(receiver()));
    row("measure publish, otel", &plain, MeasurePublishLayer::from_meter("memory", &meter).layer(topic()));
}

/// Exports nothing, so that only the recording is measured.
#[derive(Debug)]
struct Nowhere;

impl SpanProcessor for Nowhere {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        black_box(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn message() -> Message {
    let mut message = Message::new(vec![b'x'; 256]);
    for (name, value) in [("type", "order.created"), ("tenant", "acme"), ("content-type", "application/json")] {
        message.attributes_mut().append(name, value);
    }
    message.set_source("orders");
    message
}

fn traced() -> Message {
    let mut message = message();
    message.attributes_mut().append("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    message
}

type Answer<T> = Ready<Result<T, BoxError>>;

fn receiver() -> impl Service<Message, Response = (), Error = BoxError, Future = Answer<()>> {
    service_fn(|message: Message| {
        black_box(&message);
        ready(Ok(()))
    })
}

fn topic() -> impl Service<Message, Response = Published, Error = BoxError, Future = Answer<Published>> {
    service_fn(|message: Message| {
        black_box(&message);
        ready(Ok(Published::default()))
    })
}

fn attribute(mut message: Message) -> Answer<()> {
    message.attributes_mut().insert("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    black_box(&message);
    ready(Ok(()))
}

fn row<S: Service<Message>>(what: &str, message: &Message, service: S) {
    row_with(what, message, service, || ());
}

/// Measures and prints the best of some rounds, and what was allocated in the last.
fn row_with<S: Service<Message>>(what: &str, message: &Message, mut service: S, between: impl Fn()) {
    let mut best = f64::INFINITY;
    let mut allocations = 0.0;
    for _ in 0..ROUNDS {
        between();
        let region = Region::new(ALLOCATOR);
        let began = Instant::now();
        for _ in 0..CALLS {
            call(&mut service, message.clone());
        }
        best = best.min(began.elapsed().as_nanos() as f64 / f64::from(CALLS));
        let change = region.change();
        allocations = (change.allocations + change.reallocations) as f64 / f64::from(CALLS);
    }
    println!("{what:<34} {best:>8.1} {allocations:>12.2}");
}

fn call<S: Service<Message>>(service: &mut S, message: Message) {
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(())) = service.poll_ready(&mut cx) else { panic!("the service is ready at once") };
    let call = pin!(service.call(message));
    assert!(call.poll(&mut cx).is_ready(), "the service answers at once");
}
