//! Spans of the `tracing` crate, and the contexts made with them.

use std::collections::BTreeSet;
use std::future::{Ready, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use chappe::handler::HandlerWithoutState;
use chappe::server::BatchOptions;
use chappe::{BoxError, Error, ErrorKind, Handler, Message, Outcome, Published, Receiver, Router, Server, Topic};
use chappe_memory::MemoryQueue;
use chappe_middleware::trace::{Relation, TraceContext, TracePublishLayer, TraceReceiveLayer, Wire};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_test::mock;
use tracing::subscriber::set_default;

use crate::support::*;

type Answer = Ready<Result<Outcome, BoxError>>;

fn answers(outcome: Outcome) -> impl Service<Message, Response = Outcome, Error = BoxError, Future = Answer> + Clone {
    service_fn(move |_: Message| ready(Ok(outcome.clone())))
}

#[tokio::test]
async fn publishing_opens_a_producer_span_and_writes_its_context() {
    let ear = Ear::default();
    let _listening = set_default(ear.clone());
    let queue = MemoryQueue::new("orders");
    let topic = TracePublishLayer::new("memory").destination("orders").layer(queue.topic());

    topic.publish("a secret body").await.unwrap();

    let span = &ear.spans()[0];
    for (field, value) in [
        ("otel.name", "send orders"),
        ("otel.kind", "producer"),
        ("messaging.system", "memory"),
        ("messaging.destination.name", "orders"),
        ("messaging.operation.name", "send"),
        ("messaging.operation.type", "send"),
    ] {
        assert_eq!(span.get(field), Some(value), "{field}");
    }
    let message = &queue.messages()[0];
    assert_eq!(span.get("messaging.message.id"), Some(&*message.id().unwrap().to_string()));
    let written = TraceContext::from_traceparent(message.attributes().get_str("traceparent").unwrap()).unwrap();
    assert_eq!(span.get("trace_id"), Some(&*format!("{:032x}", written.trace_id())));
    assert_eq!(span.get("span_id"), Some(&*format!("{:016x}", written.span_id())));
    assert_eq!((span.get("parent_span_id"), span.get("error.type"), span.closed), (None, None, true));
    assert!(!format!("{span:?}").contains("secret"), "a body is not for a trace");
}

#[tokio::test(start_paused = true)]
async fn publish_handle_publish_handle_is_one_trace_and_every_attempt_has_a_span() {
    let ear = Ear::default();
    let _listening = set_default(ear.clone());
    let (orders, mails) = (MemoryQueue::new("orders"), MemoryQueue::new("mails"));
    let to_orders = TracePublishLayer::new("memory").destination("orders").layer(orders.topic());
    let to_mails = TracePublishLayer::new("memory").destination("mails").layer(mails.topic());
    to_orders.publish("order 7").await.unwrap();

    let on_order = service_fn(move |message: Message| {
        let to_mails = to_mails.clone();
        async move {
            assert_eq!(message.body(), "order 7", "the same at every attempt");
            tokio::task::yield_now().await;
            if message.attempt() == 1 {
                return Err::<(), BoxError>("not yet".into());
            }
            to_mails.publish("mail about order 7").await?;
            Ok(())
        }
    });
    serve(&orders, TraceReceiveLayer::new("memory").layer(on_order)).await;
    serve(&mails, TraceReceiveLayer::new("memory").layer(answers(Outcome::Ack))).await;

    let spans = ear.spans();
    let names: Vec<_> = spans.iter().map(|span| span.get("otel.name").unwrap()).collect();
    assert_eq!(names, ["send orders", "process orders", "process orders", "send mails", "process mails"]);
    let traces: BTreeSet<_> = spans.iter().map(|span| span.get("trace_id").unwrap()).collect();
    assert_eq!(traces.len(), 1, "{spans:?}");
    for (child, parent) in [(1, 0), (2, 0), (3, 2), (4, 3)] {
        assert_eq!(spans[child].get("parent_span_id"), spans[parent].get("span_id"), "{child} is below {parent}");
    }
    let ends: Vec<_> = spans.iter().map(|span| (span.get("chappe.outcome"), span.get("error.type"))).collect();
    assert_eq!(ends[1..3], [(Some("retry"), Some("_OTHER")), (Some("ack"), None)]);
    assert!(spans.iter().all(|span| span.closed));
    assert_eq!(TraceContext::current(), None);
}

#[tokio::test]
async fn every_answer_that_is_no_acknowledgement_is_an_error_of_its_own_type() {
    let ear = Ear::default();
    let _listening = set_default(ear.clone());
    let (mut receiver, mut handle) = mock::pair::<Message, Outcome>();
    let mut receiver = TraceReceiveLayer::new("memory").layer(receiver.ready().await.unwrap().clone());

    let error = Error::new(ErrorKind::Unavailable, "the secret is 7");
    let answers = [Ok(Outcome::Ack), Ok(Outcome::Retry), Ok(Outcome::reject("secret")), Err(BoxError::from(error))];
    for answer in answers {
        handle.allow(1);
        let call = ServiceExt::<Message>::ready(&mut receiver).await.unwrap().call(Message::new("x"));
        let (_, respond) = handle.next_request().await.unwrap();
        match answer {
            Ok(outcome) => respond.send_response(outcome),
            Err(error) => respond.send_error(error),
        }
        let _ = call.await;
    }

    let spans = ear.spans();
    let types: Vec<_> = spans.iter().map(|span| span.get("error.type")).collect();
    assert_eq!(types, [None, Some("retry"), Some("reject"), Some("unavailable")]);
    let codes: Vec<_> = spans.iter().map(|span| span.get("otel.status_code").is_some()).collect();
    assert_eq!(codes, [false, true, true, true]);
    assert!(!format!("{spans:?}").contains("secret"), "texts are recorded only where that is asked for");
}

#[tokio::test]
async fn texts_of_errors_are_recorded_where_that_is_asked_for() {
    let ear = Ear::default();
    let _listening = set_default(ear.clone());
    let mut receiver = TraceReceiveLayer::new("memory").record_errors().layer(answers(Outcome::reject("too late")));

    receiver.call(Message::new("x")).await.unwrap();

    assert_eq!(ear.spans()[0].get("error"), Some("too late"));
}

#[tokio::test]
async fn a_future_that_is_dropped_or_panics_ends_its_span_with_an_error() {
    let ear = Ear::default();
    let _listening = set_default(ear.clone());
    let layer = TraceReceiveLayer::new("memory");
    let mut waits = layer.layer(service_fn(|_: Message| std::future::pending::<Result<(), BoxError>>()));
    let mut panics = layer.layer(service_fn(async |_: Message| -> Result<(), BoxError> { panic!("in the future") }));
    let mut panics_at_once =
        layer.layer(service_fn(|_: Message| -> Ready<Result<(), BoxError>> { panic!("in the call") }));

    drop(waits.call(Message::new("x")));
    let mut call = Box::pin(panics.call(Message::new("x")));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    // As the server does it: caught first, dropped later.
    assert!(catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut cx))).is_err());
    drop(call);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(panics_at_once.call(Message::new("x"))))).is_err());

    let spans = ear.spans();
    let types: Vec<_> = spans.iter().map(|span| (span.get("chappe.outcome"), span.get("error.type"))).collect();
    let panic = (Some("retry"), Some("panic"));
    assert_eq!(types, [(Some("dropped"), Some("cancelled")), panic, panic]);
    assert!(spans.iter().all(|span| span.closed));
    assert_eq!(TraceContext::current(), None);
}

#[tokio::test]
async fn a_malformed_context_begins_a_trace_and_the_attributes_stay() {
    let ear = Ear::default();
    let _listening = set_default(ear.clone());
    let mut receiver = TraceReceiveLayer::new("memory").layer(service_fn(|message: Message| {
        assert_eq!(message.attributes().get_str("traceparent"), Some("00-nonsense"));
        ready(Ok::<_, BoxError>(TraceContext::current().map_or(Outcome::Retry, |_| Outcome::Ack)))
    }));

    let outcome = receiver.call(with_traceparent("00-nonsense")).await.unwrap();

    assert_eq!(outcome, Outcome::Ack);
    assert_eq!(ear.spans()[0].get("parent_span_id"), None);
}

#[tokio::test]
async fn a_context_its_maker_gave_a_message_stays_and_is_linked() {
    let ear = Ear::default();
    let _listening = set_default(ear.clone());
    let queue = MemoryQueue::new("orders");
    let topic = TracePublishLayer::new("memory").layer(queue.topic());

    topic.publish(with_traceparent(PARENT)).await.unwrap();

    assert_eq!(queue.messages()[0].attributes().get_str("traceparent"), Some(PARENT));
    let span = &ear.spans()[0];
    assert_eq!((span.get("otel.kind"), span.get("link")), (Some("client"), Some(PARENT)));
    assert_eq!((span.get("trace_id"), span.get("parent_span_id")), (Some(TRACE_ID), Some(SPAN_ID)));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_relayed_gets_a_context_of_this_hop_and_keeps_the_rest() {
    let ear = Ear::default();
    let _listening = set_default(ear.clone());
    let (here, there) = (MemoryQueue::new("here"), MemoryQueue::new("there"));
    let mut message = with_traceparent(PARENT);
    message.attributes_mut().insert("tracestate", "vendor=1");
    message.attributes_mut().insert("baggage", "user=7");
    message.attributes_mut().insert("type", "order");
    here.topic().publish(message).await.unwrap();

    let relay = TracePublishLayer::new("memory").layer(there.topic());
    serve(&here, TraceReceiveLayer::new("memory").layer(relay)).await;

    let relayed = &there.messages()[0];
    let spans = ear.spans();
    let hop = TraceContext::from_traceparent(relayed.attributes().get_str("traceparent").unwrap()).unwrap();
    assert_eq!(spans[1].get("span_id"), Some(&*format!("{:016x}", hop.span_id())));
    assert_eq!(format!("{:032x}", hop.trace_id()), TRACE_ID);
    for (name, value) in [("tracestate", "vendor=1"), ("baggage", "user=7"), ("type", "order")] {
        assert_eq!(relayed.attributes().get_str(name), Some(value));
    }
    assert_eq!(relayed.attributes().len(), 4);
}

#[tokio::test]
async fn a_link_is_a_trace_of_its_own_that_refers_to_the_other() {
    let ear = Ear::default();
    let _listening = set_default(ear.clone());
    let mut receiver = TraceReceiveLayer::new("memory").relation(Relation::Link).layer(answers(Outcome::Ack));

    receiver.call(with_traceparent(PARENT)).await.unwrap();

    let span = &ear.spans()[0];
    assert_eq!((span.get("link"), span.get("parent_span_id")), (Some(PARENT), None));
    assert_ne!(span.get("trace_id"), Some(TRACE_ID));
}

#[tokio::test]
async fn a_batch_is_one_span_with_a_link_to_each_message() {
    let ear = Ear::default();
    let _listening = set_default(ear.clone());
    let mut receiver = TraceReceiveLayer::new("memory").layer(service_fn(|messages: Vec<Message>| {
        let results = messages.iter().map(|message| match message.body().len() {
            0 => Err(BoxError::from("empty")),
            _ => Ok(()),
        });
        ready(Ok::<_, BoxError>(results.collect::<Vec<_>>()))
    }));
    let mut other = with_traceparent("00-0000000000000000000000000000000a-000000000000000b-01");
    other.set_body("");

    let results = receiver.call(vec![with_traceparent(PARENT), other, Message::new("no context")]).await.unwrap();

    let ends: Vec<_> = results.iter().map(Result::is_ok).collect();
    assert_eq!(ends, [true, false, true]);
    let span = &ear.spans()[0];
    assert_eq!(span.get("messaging.batch.message_count"), Some("3"));
    let links = format!("{PARENT},00-0000000000000000000000000000000a-000000000000000b-01");
    assert_eq!(span.get("links"), Some(&*links));
    assert_eq!((span.get("error.type"), span.get("parent_span_id")), (Some("_OTHER"), None));
}

#[tokio::test]
async fn the_service_inside_says_when_it_is_ready() {
    let (mut topic, mut handle) = mock::spawn_layer::<Message, Published, _>(TracePublishLayer::new("memory"));
    handle.allow(0);

    assert!(topic.poll_ready().is_pending());
    handle.allow(1);
    assert!(topic.poll_ready().is_ready());
}

#[tokio::test]
async fn go_msg_reads_what_is_written_for_it() {
    let ear = Ear::default();
    let _listening = set_default(ear.clone());
    let (service, mut handle) = mock::pair::<Message, Published>();
    let mut topic = TracePublishLayer::new("memory").wire(Wire::GoMsg).layer(service);

    let call = ServiceExt::<Message>::ready(&mut topic).await.unwrap().call(Message::new("body"));
    let (message, respond) = handle.next_request().await.unwrap();
    respond.send_response(Published::default());
    call.await.unwrap();

    let names: Vec<_> = message.attributes().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Traceparent", "Tracecontext"]);
    assert_eq!(message.body(), "body");
}

#[tokio::test(start_paused = true)]
async fn a_handler_the_server_gives_up_on_ends_its_span_and_the_next_attempt_has_its_own() {
    let ear = Ear::default();
    let _listening = set_default(ear.clone());
    let queue = MemoryQueue::new("orders");
    TracePublishLayer::new("memory").layer(queue.topic()).publish("order 7").await.unwrap();
    let hangs_once = service_fn(async |message: Message| {
        if message.attempt() == 1 {
            std::future::pending::<()>().await;
        }
        Ok::<_, BoxError>(())
    });

    let server = Server::new(queue).timeout(Duration::from_secs(5));
    let receiver = TraceReceiveLayer::new("memory").layer(hangs_once);
    let report = server.serve(receiver).with_graceful_shutdown(sleep(Duration::from_secs(60))).await.unwrap();

    assert_eq!((report.metrics.timeouts, report.metrics.acked), (1, 1));
    let spans = ear.spans();
    let ends: Vec<_> = spans[1..].iter().map(|span| (span.get("error.type"), span.get("chappe.attempt"))).collect();
    assert_eq!(ends, [(Some("cancelled"), Some("1")), (None, Some("2"))]);
    assert!(spans.iter().all(|span| span.get("trace_id") == spans[0].get("trace_id")));
}

#[tokio::test(start_paused = true)]
async fn what_is_published_while_handling_carries_tracestate_and_baggage_on() {
    let ear = Ear::default();
    let _listening = set_default(ear.clone());
    let (here, there) = (MemoryQueue::new("here"), MemoryQueue::new("there"));
    let mut message = with_traceparent(PARENT);
    message.attributes_mut().insert("Tracestate", "vendor=1");
    message.attributes_mut().insert("Baggage", "user=7");
    here.topic().publish(message).await.unwrap();

    let topic = TracePublishLayer::new("memory").layer(there.topic());
    let receiver = service_fn(move |_: Message| {
        let topic = topic.clone();
        async move { topic.publish("another").await }
    });
    serve(&here, TraceReceiveLayer::new("memory").layer(receiver)).await;

    let published = there.messages()[0].attributes().clone();
    assert_eq!((published.get_str("tracestate"), published.get_str("baggage")), (Some("vendor=1"), Some("user=7")));
    assert_eq!(published.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_server_of_batches_hands_each_result_on() {
    let ear = Ear::default();
    let _listening = set_default(ear.clone());
    let (queue, dead) = MemoryQueue::with_dead_letter("orders");
    for body in ["good", "bad"] {
        queue.topic().publish(body).await.unwrap();
    }
    let receiver = service_fn(async |messages: Vec<Message>| {
        let outcome = |message: &Message| match message.body() == "bad" {
            true => Outcome::reject("bad"),
            false => Outcome::Ack,
        };
        Ok::<_, BoxError>(messages.iter().map(outcome).collect::<Vec<_>>())
    });

    let serving =
        Server::new(queue.clone()).serve_batch(TraceReceiveLayer::new("memory").layer(receiver), BatchOptions::new(10));
    serving.with_graceful_shutdown(sleep(Duration::from_secs(60))).await.unwrap();

    assert_eq!((queue.len(), dead.len()), (0, 1));
    assert!(ear.spans().iter().any(|span| span.get("error.type") == Some("reject")));
}

/// What goes into a server, a router and a topic, and what comes out of the layers, is of one kind.
#[test]
fn receivers_stay_receivers_and_topics_stay_topics() {
    fn is_receiver(_: impl Receiver + Sync) {}
    fn is_topic(_: impl Topic + Sync) {}
    async fn handler(_: String) {}

    let traced = ServiceBuilder::new()
        .layer(TraceReceiveLayer::new("memory"))
        .layer(chappe_middleware::trace::otel::TraceReceiveLayer::new("memory"))
        .layer(chappe_middleware::metrics::MeasureReceiveLayer::new("memory"))
        .concurrency_limit(5);
    is_receiver(traced.service(Router::new().fallback(handler).with_state(())));
    is_receiver(handler.layer(TraceReceiveLayer::new("memory")).into_service());
    let published = ServiceBuilder::new()
        .layer(TracePublishLayer::new("memory"))
        .layer(chappe_middleware::trace::otel::TracePublishLayer::new("memory"))
        .layer(chappe_middleware::metrics::MeasurePublishLayer::new("memory"))
        .concurrency_limit(5);
    is_topic(published.service(MemoryQueue::new("orders").topic()));
}
