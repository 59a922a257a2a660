use std::future::{Future, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use chappe::{BoxError, Error, Message, Outcome, Published, Topic};
use chappe_memory::MemoryQueue;
use chappe_middleware::catch_panic::{CatchPanicLayer, Panicked};
use tower::{Layer, Service, ServiceBuilder, service_fn};

use crate::support::*;

#[tokio::test]
async fn a_panic_is_an_error_with_its_text_wherever_it_happens() {
    for when in ["call", "poll"] {
        let receiver = is_receiver(CatchPanicLayer::new().layer(service_fn(move |message: Message| {
            assert!(when != "call", "in {}", text(&message));
            async move {
                assert!(when != "poll", "in {}", text(&message));
                Ok::<_, BoxError>(())
            }
        })));

        let error = answer(&receiver, when).await.unwrap_err();

        assert_eq!(Outcome::describe(&*error), format!("service panicked: in {when}"));
        assert_eq!(Outcome::of_error(&*error), Outcome::Retry);
        let error = Error::from_boxed(error);
        assert!(error.is_ambiguous(), "nobody knows what was done before");
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<Panicked>());
        assert_eq!(source.unwrap().text(), format!("in {when}"));
    }
}

#[tokio::test]
async fn a_rejected_panic_has_its_text_as_the_reason() {
    let receiver = CatchPanicLayer::new().reject().layer(service_fn(async |_: Message| -> Result<(), BoxError> {
        panic!("poison");
    }));

    let error = answer(&receiver, "x").await.unwrap_err();

    assert_eq!(Outcome::of_error(&*error), Outcome::reject("service panicked: poison"));
}

#[derive(Clone)]
struct PanicsInReady;

impl Service<Message> for PanicsInReady {
    type Response = ();
    type Error = BoxError;
    type Future = std::future::Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        std::panic::panic_any(7)
    }

    fn call(&mut self, _: Message) -> Self::Future {
        ready(Ok(()))
    }
}

#[tokio::test]
async fn a_panic_in_poll_ready_is_an_error_and_need_not_be_text() {
    let error = answer(&CatchPanicLayer::new().layer(PanicsInReady), "x").await.unwrap_err();

    assert_eq!(Outcome::describe(&*error), "service panicked: no message");
}

/// Panics when it is polled, and again when it is dropped.
struct Twice;

impl Future for Twice {
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        panic!("first");
    }
}

impl Drop for Twice {
    fn drop(&mut self) {
        panic!("second");
    }
}

#[tokio::test]
async fn a_future_that_panics_again_as_it_is_dropped_is_answered_once() {
    let error = answer(&CatchPanicLayer::new().layer(service_fn(|_: Message| Twice)), "x").await.unwrap_err();

    assert_eq!(Outcome::describe(&*error), "service panicked: first");
}

#[tokio::test]
async fn answers_and_errors_are_handed_on() {
    let (mut service, mut handle) = stepped(CatchPanicLayer::new());
    handle.allow(2);

    let mut fine = call(&mut service, "a");
    let mut fails = call(&mut service, "b");
    handle.next_request().await.unwrap().1.send_response(Outcome::Retry);
    handle.next_request().await.unwrap().1.send_error("plain");

    assert_eq!(tokio_test::assert_ready_ok!(fine.poll()), Outcome::Retry);
    assert_eq!(tokio_test::assert_ready_err!(fails.poll()).to_string(), "plain");
}

#[tokio::test]
async fn a_topic_that_panics_answers_an_ambiguous_error() {
    let topic = ServiceBuilder::new()
        .layer(CatchPanicLayer::new())
        .service(service_fn(async |_: Message| -> Result<Published, Error> { panic!("in the client") }));

    let error = is_topic(topic).publish("x").await.unwrap_err();

    assert!(error.is_ambiguous());
}

#[tokio::test(start_paused = true)]
async fn a_server_retries_what_panicked_and_sees_an_error() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let seen = Seen::default();

    let log = seen.clone();
    let receiver = CatchPanicLayer::new().layer(service_fn(move |message: Message| {
        assert!(log.note(&message) > 1, "the first time");
        ready(Ok::<_, BoxError>(()))
    }));
    let report = serve_for(server(queue), MINUTE, receiver).await;

    let metrics = report.metrics;
    assert_eq!((metrics.panics, metrics.errors, metrics.retried, metrics.acked), (0, 1, 1, 1));
    assert_eq!(seen.bodies(), ["x", "x"]);
}
