//! OpenCensus and OpenTelemetry on the wire, as go-msg's decorators write and read them.

use std::future::ready;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chappe::{BoxError, Message, Topic};
use chappe_memory::MemoryQueue;
use chappe_middleware::trace::{TraceContext, Wire};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tower::{Layer, Service, service_fn};

use crate::support::*;

/// What go-msg's tests send: trace 64..79, span 97..104, sampled.
const TRACECONTEXT: &str = "AABAQUJDREVGR0hJSktMTU5PAWFiY2RlZmdoAgE=";

/// Handles a message, and answers with the context the handler ran in and the body it saw.
async fn handle(otel: &Otel, message: Message) -> (SpanContext, String) {
    let seen = Arc::new(Mutex::new(None));
    let mut receiver = otel.receive().layer(service_fn({
        let seen = Arc::clone(&seen);
        move |message: Message| {
            let body = String::from_utf8(message.body().to_vec()).unwrap();
            *seen.lock().unwrap() = Some((Context::current().span().span_context().clone(), body));
            ready(Ok::<_, BoxError>(()))
        }
    }));
    receiver.call(message).await.unwrap();
    seen.lock().unwrap().take().unwrap()
}

/// Publishes within a span whose vendor says `debug=true`, and answers with what was published.
async fn publish(otel: &Otel, wire: Wire) -> Message {
    let queue = MemoryQueue::new("orders");
    let state = TraceState::from_key_value([("debug", "true")]).unwrap();
    let parent = SpanContext::new(TraceId::from(7), SpanId::from(8), TraceFlags::SAMPLED, true, state);
    let around = Context::new().with_remote_span_context(parent);
    let topic = otel.publish().wire(wire).layer(queue.topic());
    opentelemetry::context::FutureExt::with_context(topic.publish("hello"), around).await.unwrap();
    queue.drain().remove(0)
}

fn opencensus(message: &Message) -> Option<TraceContext> {
    let bytes = STANDARD.decode(message.attributes().get_exact("Tracecontext")?.as_str()?).unwrap();
    TraceContext::from_opencensus(&bytes)
}

#[tokio::test]
async fn opencensus_is_written_with_its_tracestate_and_the_body_is_unchanged() {
    let otel = Otel::new();

    let message = publish(&otel, Wire::OpenCensus).await;

    let written = opencensus(&message).unwrap();
    assert_eq!((written.trace_id(), format!("{:016x}", written.span_id())), {
        (7, otel.only().span_context.span_id().to_string())
    });
    assert_eq!(message.attributes().get_exact("Tracestate").unwrap(), "debug=true");
    assert_eq!((message.body(), message.attributes().len()), (&"hello".into(), 2));
}

#[tokio::test]
async fn go_msg_gets_both_and_the_w3c_only_its_own() {
    let otel = Otel::new();

    let both = publish(&otel, Wire::GoMsg).await;
    let w3c = publish(&otel, Wire::W3c).await;

    assert!(both.attributes().get_exact("Traceparent").is_some() && opencensus(&both).is_some());
    assert_eq!(both.attributes().get_exact("Tracestate").unwrap(), "debug=true");
    assert!(w3c.attributes().get_exact("traceparent").is_some() && !w3c.attributes().contains("Tracecontext"));
}

#[tokio::test]
async fn a_context_of_opencensus_is_continued() {
    let otel = Otel::new();
    let mut message = Message::new("hello");
    message.attributes_mut().insert("Tracecontext", TRACECONTEXT);
    message.attributes_mut().insert("Tracestate", "debug=true, log=false");

    let (context, body) = handle(&otel, message).await;

    assert_eq!(context.trace_id().to_string(), "404142434445464748494a4b4c4d4e4f");
    assert_eq!(otel.only().parent_span_id.to_string(), "6162636465666768");
    assert_eq!(context.trace_state().header(), "debug=true,log=false");
    assert_eq!(body, "hello");
}

#[tokio::test]
async fn without_a_readable_context_there_is_a_new_span_and_the_body_is_intact() {
    for (name, value) in [
        ("other", "x"),
        ("Tracecontext", "invalidcontext"),
        ("Tracecontext", "YWJjMTIz"),
        ("Traceparent", "invalidcontext"),
        ("Traceparent", "YWJjMTIz"),
    ] {
        let otel = Otel::new();
        let mut message = Message::new("hello");
        message.attributes_mut().insert(name, value);

        let (context, body) = handle(&otel, message).await;

        assert!(context.is_valid() && otel.only().parent_span_id == SpanId::INVALID, "{name}: {value}");
        assert_eq!(body, "hello");
    }
}

#[tokio::test]
async fn every_writer_is_understood_by_every_reader() {
    for wire in [Wire::W3c, Wire::GoMsg, Wire::OpenCensus] {
        for _ in 0..20 {
            let otel = Otel::new();
            let message = publish(&otel, wire).await;

            // go-msg's OpenCensus decorator knows nothing but this.
            if wire != Wire::W3c {
                assert_eq!(opencensus(&message).unwrap().trace_id(), 7);
            }
            let (context, _) = handle(&otel, message).await;

            assert_eq!((context.trace_id(), context.trace_state().header().as_str()), (TraceId::from(7), "debug=true"));
        }
    }
}
