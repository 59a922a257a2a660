//! Which functions are handlers, and what their answers mean.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chappe::extract::{Attempt, State};
use chappe::handler::{HandlerWithoutState, Route};
use chappe::{Attributes, BoxError, Handler, Message, Outcome, OutcomeError, Published, Receiver};
use tower::limit::ConcurrencyLimitLayer;
use tower::timeout::TimeoutLayer;
use tower::{Service, ServiceExt, service_fn};

fn check<R: Receiver>(receiver: R) -> R {
    receiver
}

#[test]
fn functions_of_no_to_twelve_arguments_are_handlers() {
    type A = Attempt;
    async fn none() {}
    async fn parts_only(_: A) {}
    async fn body_only(_: Bytes) {}
    #[allow(clippy::too_many_arguments, reason = "as many as there may be")]
    async fn twelve(_: A, _: A, _: A, _: A, _: A, _: A, _: A, _: A, _: A, _: A, _: Attributes, _: Bytes) {}

    check(none.into_service());
    check(parts_only.into_service());
    check(body_only.into_service());
    check(twelve.into_service());
}

#[test]
fn closures_are_handlers_and_may_move_what_they_hold() {
    let held = String::from("held");

    check((|_: Bytes| ready(())).into_service());
    check((move |_: Bytes| async move { drop(held) }).into_service());
}

#[tokio::test]
async fn the_answer_says_the_outcome() {
    async fn nothing() {}
    async fn outcome() -> Outcome {
        Outcome::Retry
    }
    async fn receipt() -> Published {
        Published::default()
    }
    async fn fine() -> Result<Outcome, std::io::Error> {
        Ok(Outcome::reject("no"))
    }

    assert_eq!(nothing.into_service().oneshot(Message::new("")).await.unwrap(), Outcome::Ack);
    assert_eq!(outcome.into_service().oneshot(Message::new("")).await.unwrap(), Outcome::Retry);
    assert_eq!(receipt.into_service().oneshot(Message::new("")).await.unwrap(), Outcome::Ack);
    assert_eq!(fine.into_service().oneshot(Message::new("")).await.unwrap(), Outcome::reject("no"));
}

#[tokio::test]
async fn an_error_reaches_the_server_as_it_is() {
    async fn failing() -> Result<(), OutcomeError> {
        Err(OutcomeError::retry_after(Duration::from_secs(3), "busy"))
    }

    let error = failing.into_service().oneshot(Message::new("")).await.unwrap_err();

    assert!(error.is::<OutcomeError>());
    assert_eq!(Outcome::of_error(error.as_ref()), Outcome::RetryAfter(Duration::from_secs(3)));
}

#[tokio::test]
async fn the_state_is_lent_to_every_call() {
    async fn count(State(calls): State<Arc<AtomicUsize>>) {
        calls.fetch_add(1, Ordering::Relaxed);
    }
    let calls = Arc::new(AtomicUsize::new(0));
    let mut receiver = count.with_state(Arc::clone(&calls));

    for _ in 0..3 {
        receiver.ready().await.unwrap().call(Message::new("")).await.unwrap();
    }

    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_layer_of_a_handler_is_applied_once_for_all_messages() {
    async fn slow() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let receiver = slow.layer(ConcurrencyLimitLayer::new(1)).with_state(());
    let started = tokio::time::Instant::now();

    let both = tokio::join!(receiver.clone().oneshot(Message::new("")), receiver.oneshot(Message::new("")));

    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(started.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_layer_may_change_the_error() {
    async fn slow() {
        std::future::pending::<()>().await;
    }
    let receiver = slow.layer(TimeoutLayer::new(Duration::from_secs(1))).with_state(());

    let error = receiver.oneshot(Message::new("")).await.unwrap_err();

    assert!(error.is::<tower::timeout::error::Elapsed>());
}

#[tokio::test]
async fn a_service_that_is_not_ready_fails_the_call() {
    #[derive(Clone)]
    struct Broken;
    impl Service<Message> for Broken {
        type Response = ();
        type Error = BoxError;
        type Future = std::future::Ready<Result<(), BoxError>>;

        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
            std::task::Poll::Ready(Err("not ready".into()))
        }

        fn call(&mut self, _: Message) -> Self::Future {
            panic!("called without being ready")
        }
    }

    let error = Route::from_service(Broken).oneshot(Message::new("")).await.unwrap_err();

    assert_eq!(error.to_string(), "not ready");
}

#[tokio::test]
async fn a_service_answers_like_a_handler() {
    let route = Route::from_service(service_fn(async |_: Message| Ok::<_, BoxError>(Published::default())));

    assert_eq!(route.oneshot(Message::new("")).await.unwrap(), Outcome::Ack);
}
