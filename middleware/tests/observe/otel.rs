//! Spans of OpenTelemetry.

use std::collections::BTreeSet;
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};

use chappe::{BoxError, Error, ErrorKind, Message, Outcome, Published, Topic};
use chappe_memory::MemoryQueue;
use chappe_middleware::trace::Relation;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{SpanId, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_test::mock;

use crate::support::*;

#[tokio::test]
async fn publishing_is_a_producer_span_by_the_conventions() {
    let otel = Otel::new();
    let queue = MemoryQueue::new("orders");
    let layer = otel.publish().attribute(KeyValue::new("server.address", "here"));
    let topic = layer.layer(queue.topic());

    topic.publish("a secret body").await.unwrap();

    let span = otel.only();
    assert_eq!((&*span.name, &span.span_kind, &span.status), ("send orders", &SpanKind::Producer, &Status::Unset));
    let message = &queue.messages()[0];
    for (name, value) in [
        ("messaging.system", "memory"),
        ("messaging.destination.name", "orders"),
        ("messaging.operation.name", "send"),
        ("messaging.operation.type", "send"),
        ("messaging.message.id", &*message.id().unwrap().to_string()),
        ("server.address", "here"),
    ] {
        assert_eq!(attribute(&span, name).as_deref(), Some(value), "{name}");
    }
    let written = format!("00-{}-{}-01", span.span_context.trace_id(), span.span_context.span_id());
    assert_eq!(message.attributes().get_str("traceparent"), Some(&*written));
    assert_eq!(message.attributes().len(), 1, "an empty tracestate is not written");
    assert!(!format!("{span:?}").contains("secret"), "a body is not for a trace");
}

#[tokio::test(start_paused = true)]
async fn publish_handle_publish_handle_is_one_trace_and_every_attempt_has_a_span() {
    let otel = Otel::new();
    let (orders, mails) = (MemoryQueue::new("orders"), MemoryQueue::new("mails"));
    otel.publish().layer(orders.topic()).publish("order 7").await.unwrap();

    let to_mails = otel.publish().destination("mails").layer(mails.topic());
    let on_order = service_fn(move |message: Message| {
        let to_mails = to_mails.clone();
        async move {
            tokio::task::yield_now().await;
            if message.attempt() == 1 {
                return Err::<(), BoxError>("not yet".into());
            }
            to_mails.publish("mail about order 7").await?;
            Ok(())
        }
    });
    serve(&orders, otel.receive().layer(on_order)).await;
    let ack = service_fn(|_: Message| ready(Ok::<_, BoxError>(())));
    serve(&mails, otel.receive().layer(ack)).await;

    let spans = otel.spans();
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["send orders", "process orders", "send mails", "process orders", "process mails"]);
    assert_eq!(spans.iter().map(trace_id).collect::<BTreeSet<_>>().len(), 1, "{spans:?}");
    for (child, parent) in [(1, 0), (3, 0), (2, 3), (4, 2)] {
        assert_eq!(spans[child].parent_span_id, spans[parent].span_context.span_id(), "{child} is below {parent}");
    }
    assert_eq!(spans[0].parent_span_id, SpanId::INVALID);
    assert_eq!(attribute(&spans[1], "error.type").as_deref(), Some("_OTHER"));
    assert_eq!(spans[1].status, Status::error(""));
    let attempts: Vec<_> = [1, 3].map(|at: usize| attribute(&spans[at], "chappe.attempt").unwrap()).into();
    assert_eq!(attempts, ["1", "2"]);
    assert_eq!(spans[1].span_kind, SpanKind::Consumer);
    assert!(!Context::current().has_active_span());
}

#[tokio::test]
async fn outcomes_and_errors_are_in_the_status_and_texts_where_that_is_asked_for() {
    let otel = Otel::new();
    let fails = service_fn(|message: Message| {
        ready(match &message.body()[..] {
            b"reject" => Ok(Outcome::reject("too late")),
            b"throttle" => Ok(Outcome::Throttle(std::time::Duration::ZERO)),
            _ => Err(BoxError::from(Error::new(ErrorKind::Unavailable, "database is down"))),
        })
    });
    let mut silent = otel.receive().layer(fails);
    let mut telling = otel.receive().record_errors().layer(fails);

    for body in ["reject", "throttle", "fail"] {
        let _ = silent.call(Message::new(body)).await;
        let _ = telling.call(Message::new(body)).await;
    }

    let spans = otel.spans();
    let seen = spans.iter().map(|span| (attribute(span, "error.type").unwrap(), span.status.clone()));
    let expected = [
        ("reject", ""),
        ("reject", "too late"),
        ("throttle", ""),
        ("throttle", ""),
        ("unavailable", ""),
        ("unavailable", "database is down"),
    ];
    assert_eq!(seen.collect::<Vec<_>>(), expected.map(|(kind, text)| (kind.to_owned(), Status::error(text))));
}

#[tokio::test]
async fn a_future_that_is_dropped_or_panics_ends_its_span_with_an_error() {
    let otel = Otel::new();
    let mut waits = otel.receive().layer(service_fn(|_: Message| std::future::pending::<Result<(), BoxError>>()));
    let mut panics =
        otel.receive().layer(service_fn(async |_: Message| -> Result<(), BoxError> { panic!("in the future") }));

    drop(waits.call(Message::new("x")));
    let mut call = Box::pin(panics.call(Message::new("x")));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut cx))).is_err());
    drop(call);

    let types: Vec<_> = otel.spans().iter().map(|span| attribute(span, "error.type").unwrap()).collect();
    assert_eq!(types, ["cancelled", "panic"]);
    assert!(!Context::current().has_active_span());
}

#[tokio::test]
async fn a_publisher_that_fails_ends_its_span_with_the_kind_of_its_error() {
    let otel = Otel::new();
    let queue = MemoryQueue::new("orders");
    queue.shut();

    let result = otel.publish().layer(queue.topic()).publish("late").await;

    assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(attribute(&otel.only(), "error.type").as_deref(), Some("closed"));
}

#[tokio::test]
async fn a_context_its_maker_gave_a_message_stays_and_is_linked() {
    let otel = Otel::new();
    let queue = MemoryQueue::new("orders");

    otel.publish().layer(queue.topic()).publish(with_traceparent(PARENT)).await.unwrap();

    assert_eq!(queue.messages()[0].attributes().get_str("traceparent"), Some(PARENT));
    let span = otel.only();
    assert_eq!(span.span_kind, SpanKind::Client);
    assert_eq!(span.links[0].span_context.span_id().to_string(), SPAN_ID);
}

#[tokio::test]
async fn a_message_is_called_what_the_broker_calls_it_and_else_what_its_maker_did() {
    let otel = Otel::new();
    let mut message = Message::new("x");
    message.set_id("order-7");
    for told in [Some("broker-1".into()), None] {
        let answer = Published::new(told);
        let mut topic = otel.publish().layer(service_fn(move |_: Message| ready(Ok::<_, BoxError>(answer.clone()))));
        topic.call(message.clone()).await.unwrap();
    }

    let ids = otel.spans().into_iter().map(|span| {
        let ids = span.attributes.iter().filter(|attribute| attribute.key.as_str() == "messaging.message.id");
        ids.map(|id| id.value.to_string()).collect::<Vec<_>>()
    });
    assert_eq!(ids.collect::<Vec<_>>(), [["broker-1"], ["order-7"]]);
}

#[tokio::test]
async fn a_span_around_is_linked_where_the_publisher_is_the_parent() {
    let otel = Otel::new();
    let mut receiver = otel.receive().layer(service_fn(|_: Message| ready(Ok::<_, BoxError>(()))));
    let around = Context::new().with_span(otel.provider.tracer("test").start("around"));
    let around_id = around.span().span_context().span_id();

    let call = {
        let _attached = around.attach();
        receiver.call(with_traceparent(PARENT))
    };
    call.await.unwrap();

    let spans = otel.spans();
    let span = spans.iter().find(|span| span.span_kind == SpanKind::Consumer).unwrap();
    assert_eq!((trace_id(span), span.parent_span_id.to_string()), (TRACE_ID.into(), SPAN_ID.into()));
    assert_eq!(span.links[0].span_context.span_id(), around_id);
}

#[tokio::test]
async fn a_link_is_a_trace_of_its_own_that_refers_to_the_other() {
    let otel = Otel::new();
    let layer = otel.receive().relation(Relation::Link);
    let mut receiver = layer.layer(service_fn(|_: Message| ready(Ok::<_, BoxError>(()))));

    receiver.call(with_traceparent(PARENT)).await.unwrap();

    let span = otel.only();
    assert_ne!(trace_id(&span), TRACE_ID);
    assert_eq!(span.parent_span_id, SpanId::INVALID);
    assert_eq!(span.links[0].span_context.trace_id().to_string(), TRACE_ID);
}

#[tokio::test]
async fn a_batch_is_one_span_with_a_link_to_each_message() {
    let otel = Otel::new();
    let mut receiver = otel.receive().layer(service_fn(|messages: Vec<Message>| {
        let outcomes = messages.iter().map(|message| match message.body().len() {
            0 => Outcome::Retry,
            _ => Outcome::Ack,
        });
        ready(Ok::<_, BoxError>(outcomes.collect::<Vec<_>>()))
    }));
    let mut first = with_traceparent(PARENT);
    first.set_id("order-7");
    first.set_source("orders");
    let mut other = with_traceparent("00-0000000000000000000000000000000a-000000000000000b-01");
    other.set_body("");

    receiver.call(vec![first, other, Message::new("no context")]).await.unwrap();

    let span = otel.only();
    assert_eq!(span.name, "process orders");
    assert_eq!(attribute(&span, "messaging.batch.message_count").as_deref(), Some("3"));
    assert_eq!(attribute(&span, "error.type").as_deref(), Some("retry"));
    let links: Vec<_> = span.links.iter().map(|link| link.span_context.span_id().to_string()).collect();
    assert_eq!(links, [SPAN_ID, "000000000000000b"]);
    assert_eq!(span.links[0].attributes, [KeyValue::new("messaging.message.id", "order-7")]);
    assert_eq!((trace_id(&span) == TRACE_ID, span.parent_span_id), (false, SpanId::INVALID));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_relayed_gets_a_context_of_this_hop_and_keeps_the_rest() {
    let otel = Otel::new();
    let (here, there) = (MemoryQueue::new("here"), MemoryQueue::new("there"));
    let mut message = with_traceparent(PARENT);
    message.attributes_mut().insert("type", "order");
    here.topic().publish(message).await.unwrap();

    let relay = otel.publish().destination("there").layer(there.topic());
    serve(&here, otel.receive().layer(relay)).await;

    let spans = otel.spans();
    let hop = format!("00-{TRACE_ID}-{}-01", spans[0].span_context.span_id());
    let relayed = there.messages()[0].attributes().clone();
    assert_eq!((relayed.get_str("traceparent"), relayed.get_str("type")), (Some(&*hop), Some("order")));
    assert_eq!((relayed.len(), &*spans[0].name, &*spans[1].name), (2, "send there", "process here"));
}

#[tokio::test(start_paused = true)]
async fn baggage_and_tracestate_go_along() {
    let otel = Otel::new();
    let (here, there) = (MemoryQueue::new("here"), MemoryQueue::new("there"));
    let mut message = with_traceparent(PARENT);
    message.attributes_mut().insert("Tracestate", "vendor=1");
    message.attributes_mut().insert("Baggage", "user=7");
    here.topic().publish(message).await.unwrap();

    let topic = otel.publish().layer(there.topic());
    let receiver = service_fn(move |_: Message| {
        assert_eq!(Context::current().baggage().get("user").unwrap().as_str(), "7");
        let topic = topic.clone();
        async move { topic.publish("another").await }
    });
    serve(&here, otel.receive().layer(receiver)).await;

    let passed = there.messages()[0].attributes().clone();
    assert_eq!((passed.get_str("tracestate"), passed.get_str("baggage")), (Some("vendor=1"), Some("user=7")));
}

#[tokio::test]
async fn a_trace_that_is_not_sampled_is_not_recorded_and_still_propagated() {
    let otel = Otel::new();
    let provider = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).build();
    let queue = MemoryQueue::new("orders");

    otel.publish().provider(&provider).layer(queue.topic()).publish("quiet").await.unwrap();

    let messages = queue.messages();
    assert!(messages[0].attributes().get_str("traceparent").unwrap().ends_with("-00"));
    assert!(otel.spans().is_empty());
}

#[tokio::test]
async fn the_service_inside_says_when_it_is_ready_and_is_called_with_what_is_written() {
    let otel = Otel::new();
    let (mut topic, mut handle) = mock::spawn_layer::<Message, Published, _>(otel.publish());
    handle.allow(0);

    assert!(topic.poll_ready().is_pending());
    handle.allow(1);
    assert!(topic.poll_ready().is_ready());
    let mut call = tokio::spawn(topic.call(Message::new("body")));
    let (message, respond) = handle.next_request().await.unwrap();
    assert!(otel.spans().is_empty(), "the span lasts until the broker has answered");
    respond.send_response(Published::default());

    (&mut call).await.unwrap().unwrap();
    assert_eq!(message.body(), "body");
    assert_eq!(otel.only().status, Status::Unset);
}

#[tokio::test]
async fn without_a_provider_and_a_propagator_nothing_happens() {
    let (service, mut handle) = mock::pair::<Message, Published>();
    let mut topic = chappe_middleware::trace::otel::TracePublishLayer::new("memory").layer(service);

    let call = ServiceExt::<Message>::ready(&mut topic).await.unwrap().call(Message::new("body"));
    let (message, respond) = handle.next_request().await.unwrap();
    respond.send_response(Published::default());
    call.await.unwrap();

    assert!(message.attributes().is_empty());
}
