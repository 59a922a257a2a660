//! `perform`.

use std::convert::Infallible;
use std::future::pending;
use std::task::{Context, Poll};
use std::time::Duration;

use chappe::testing::{Recorder, perform};
use chappe::{BoxError, Cancelled, Error, ErrorKind, Message, Outcome, OutcomeError, Topic};
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceBuilder, service_fn};

use crate::kit::{ack, fail};

const SECOND: Duration = Duration::from_secs(1);

async fn hang(_: Message) -> Result<(), BoxError> {
    pending().await
}

#[tokio::test(start_paused = true)]
async fn answers_and_errors_become_outcomes() {
    let answer =
        |outcome: Outcome| service_fn(move |_: Message| std::future::ready(Ok::<_, Infallible>(outcome.clone())));
    let busy =
        service_fn(async |_: Message| Err::<(), _>(Error::new(ErrorKind::Throttled, "busy").with_retry_after(SECOND)));

    perform(service_fn(ack), "x").await.assert_acked();
    perform(service_fn(fail), "x").await.assert_retried().assert_error("out of stock");
    perform(answer(Outcome::reject("too old")), "x").await.assert_rejected("old");
    perform(answer(Outcome::Throttle(SECOND)), "x").await.assert_throttled();
    perform(busy, "x").await.assert_retried_after(SECOND).assert_retried();
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_caught_wherever_it_happens() {
    let sync = service_fn(|message: Message| {
        assert!(message.body().is_empty(), "cannot read it");
        std::future::ready(Ok::<_, BoxError>(()))
    });
    let later = service_fn(async |_: Message| -> Result<(), BoxError> {
        sleep(SECOND).await;
        panic!("boom")
    });

    perform(sync, "x").await.assert_retried().assert_error("receiver panicked: cannot read it");
    perform(later, "x").await.assert_retried().assert_error("receiver panicked: boom");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_the_servers() {
    let performed = perform(service_fn(hang), "x").timeout(SECOND).await;

    performed.assert_retried().assert_error("longer than 1s");
}

#[tokio::test(start_paused = true)]
async fn the_error_can_be_looked_into() {
    let receiver = service_fn(async |_: Message| Err::<(), _>(OutcomeError::reject("bad")));

    let error = perform(receiver, "x").await.into_error().unwrap();

    assert!(error.is::<OutcomeError>());
}

#[tokio::test(start_paused = true)]
async fn the_attempt_is_told() {
    let receiver = service_fn(async |message: Message| {
        Ok::<_, BoxError>(if message.attempt() < 3 { Outcome::Retry } else { Outcome::Ack })
    });

    perform(receiver, "x").attempt(2).await.assert_retried();
    perform(receiver, "x").attempt(3).await.assert_acked();
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_extended_as_far_as_asked() {
    let receiver = service_fn(async |message: Message| {
        let lease = message.lease().expect("there is always one").clone();
        lease.extend(SECOND * 60).await?;
        sleep(SECOND * 50).await;
        assert_eq!(lease.deadline().unwrap() - Instant::now(), SECOND * 10);
        Ok::<_, BoxError>(())
    });

    perform(receiver, "x").lease(SECOND * 30).await.assert_acked();
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_outlives_its_lease_settles_nothing() {
    let receiver = service_fn(async |message: Message| {
        let reason = message.lease().expect("there is always one").cancelled().await;
        assert_eq!(reason, Cancelled::LeaseLost);
        Ok::<_, BoxError>(())
    });

    let expired = perform(receiver, "x").lease(SECOND).await;
    let lost = perform(receiver, "x").cancel_after(SECOND, Cancelled::LeaseLost).await;

    assert_eq!(expired.assert_lease_lost().outcome(), None);
    lost.assert_lease_lost();
}

#[tokio::test(start_paused = true)]
async fn a_handler_has_one_last_poll_in_a_shutdown() {
    let heeds = service_fn(async |message: Message| {
        message.lease().expect("there is always one").cancelled().await;
        Ok::<_, BoxError>(())
    });

    perform(service_fn(hang), "x").cancel_after(SECOND, Cancelled::Shutdown).await.assert_released();
    perform(heeds, "x").cancel_after(SECOND, Cancelled::Shutdown).await.assert_acked();
}

#[tokio::test(start_paused = true)]
async fn a_stack_of_layers_and_a_topic_are_receivers_too() {
    let recorder = Recorder::new();
    let stack = ServiceBuilder::new().concurrency_limit(1).service(recorder.clone());

    perform(stack, "x").await.assert_acked();

    recorder.assert_published(1);
    recorder.publish("y").await.unwrap();
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "expected the message to be acknowledged, it is retried (out of stock)")]
async fn a_wrong_outcome_shows_the_right_one_and_why() {
    perform(service_fn(fail), "x").await.assert_acked();
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "expected the message to be rejected because of \"old\", it is acknowledged")]
async fn a_missing_rejection_shows_what_there_was() {
    perform(service_fn(ack), "x").await.assert_rejected("old");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "receiver has not answered within 10s, or a day of paused time")]
async fn a_handler_that_hangs_ends_the_test() {
    let _ = perform(service_fn(hang), "x").await;
}

/// Never ready, or failing to be.
#[derive(Clone)]
struct Unready(Option<&'static str>);

impl Service<Message> for Unready {
    type Response = ();
    type Error = BoxError;
    type Future = std::future::Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.map_or(Poll::Pending, |error| Poll::Ready(Err(error.into())))
    }

    fn call(&mut self, _: Message) -> Self::Future {
        unreachable!("it is never ready")
    }
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "receiver failed to become ready: no pool")]
async fn a_receiver_that_fails_to_become_ready_ends_the_test() {
    let _ = perform(Unready(Some("no pool")), "x").await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "receiver has not become ready within 10s")]
async fn a_receiver_that_is_never_ready_ends_the_test() {
    let _ = perform(Unready(None), "x").await;
}
