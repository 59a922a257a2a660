use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chappe::{BoxError, Cancelled, Error, ErrorKind, Message, Outcome, OutcomeError, Published, Topic};
use chappe_memory::MemoryQueue;
use chappe_middleware::retry::{Repeated, RetryLayer, RetryPolicy};
use tokio::time::{Instant, advance};
use tower::retry::budget::TpsBudget;
use tower::{Layer, service_fn};

use crate::support::*;

fn policy() -> RetryPolicy {
    RetryPolicy::exponential(SECOND, 10 * SECOND)
}

fn other(text: &'static str) -> Error {
    Error::new(ErrorKind::Other, text)
}

/// How often a receiver is called that always answers the same.
async fn calls<E: Into<BoxError> + Send + 'static>(
    policy: RetryPolicy,
    message: Message,
    answer: impl Fn() -> Result<Outcome, E> + Clone + Send + Sync + 'static,
) -> usize {
    let seen = Seen::default();
    let receiver = is_receiver(RetryLayer::new(policy).layer(script(&seen, move |_| answer())));
    let _ = crate::support::answer(&receiver, message).await;
    seen.count()
}

#[tokio::test(start_paused = true)]
async fn an_error_is_tried_again_after_a_wait_that_grows_and_is_drawn_at_random() {
    let seen = Seen::default();
    let receiver = RetryLayer::new(policy().max_attempts(4))
        .layer(script(&seen, |call| if call < 4 { Err("not yet") } else { Ok(Outcome::Ack) }));

    let mut took = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        assert_eq!(answer(&receiver, "x").await.unwrap(), Outcome::Ack);
        took.push(start.elapsed());
    }

    assert_eq!(seen.bodies()[..4], ["x", "x", "x", "x"], "the first message takes four attempts, the others one");
    assert!(took[0] <= 7 * SECOND, "1 + 2 + 4: {:?}", took[0]);
}

#[tokio::test(start_paused = true)]
async fn attempts_come_to_an_end_and_the_last_error_is_handed_on() {
    let seen = Seen::default();
    let receiver = RetryLayer::new(policy().max_attempts(3))
        .layer(script(&seen, |call| Err::<Outcome, BoxError>(format!("error {call}").into())));

    let error = answer(&receiver, "x").await.unwrap_err();

    assert_eq!((error.to_string().as_str(), seen.count()), ("error 3", 3));
}

#[tokio::test(start_paused = true)]
async fn what_an_answer_says_of_the_message_decides() {
    let error = |outcome: Outcome| move || Err(OutcomeError::new(outcome.clone(), "failed"));
    let answer = |outcome: Outcome| move || Ok::<_, BoxError>(outcome.clone());
    let throttle = Outcome::Throttle(SECOND);

    assert_eq!(calls(policy(), "x".into(), error(Outcome::Retry)).await, 3);
    assert_eq!(calls(policy(), "x".into(), answer(Outcome::Retry)).await, 3);
    for final_one in [Outcome::Ack, Outcome::reject("bad"), throttle] {
        assert_eq!(calls(policy(), "x".into(), error(final_one.clone())).await, 1, "{final_one:?}");
        assert_eq!(calls(policy(), "x".into(), answer(final_one.clone())).await, 1, "{final_one:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_was_asked_for_is_kept_unless_it_is_too_long() {
    let start = Instant::now();
    let short = || Err(other("slow down").with_retry_after(4 * SECOND));
    let long = || Err(OutcomeError::retry_after(11 * SECOND, "closed"));

    assert_eq!((calls(policy(), "x".into(), short).await, start.elapsed()), (3, 8 * SECOND));
    assert_eq!((calls(policy(), "x".into(), long).await, start.elapsed()), (1, 8 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn an_error_no_repetition_can_mend_is_handed_on_at_once() {
    let too_large = || Err(Error::new(ErrorKind::TooLarge, "body of 3 bytes is over the limit of 2"));
    let wrapped = || Err(std::io::Error::other(Error::new(ErrorKind::NotFound, "no such queue")));

    assert_eq!(calls(policy(), "x".into(), too_large).await, 1);
    assert_eq!(calls(policy(), "x".into(), wrapped).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_sent_is_sent_again_only_on_request() {
    let calls_of = async |policy: RetryPolicy| {
        let calls = Counter::default();
        let flaky = topic(&calls, |_| Err(Error::new(ErrorKind::Unavailable, "connection lost").ambiguous()));
        let error = is_topic(RetryLayer::new(policy).layer(flaky)).publish("x").await.unwrap_err();
        assert!(error.is_ambiguous());
        calls.get()
    };

    assert_eq!(calls_of(policy()).await, 1);
    assert_eq!(calls_of(policy().repeat_ambiguous()).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_topic_publishes_at_the_second_attempt() {
    let calls = Counter::default();
    let flaky = topic(&calls, |call| match call {
        1 => Err(Error::new(ErrorKind::Unavailable, "connection refused")),
        _ => Ok(Published::new(Some("7".into()))),
    });

    let receipt = RetryLayer::new(policy()).layer(flaky).publish("x").await.unwrap();

    assert_eq!((receipt.id, calls.get()), (Some("7".into()), 2));
}

#[tokio::test(start_paused = true)]
async fn a_predicate_narrows_what_is_tried_again() {
    let only_busy = policy().when(|error| error.to_string() == "busy");

    assert_eq!(calls(only_busy.clone(), "x".into(), || Err::<Outcome, _>("busy")).await, 3);
    assert_eq!(calls(only_busy.clone(), "x".into(), || Err::<Outcome, _>("broken")).await, 1);
    assert_eq!(calls(only_busy, "x".into(), || Err(OutcomeError::reject("busy"))).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_used_up_ends_retries() {
    let budget = Arc::new(TpsBudget::new(10 * SECOND, 1, 0.0));
    let in_a_moment = RetryPolicy::exponential(Duration::ZERO, Duration::ZERO).max_attempts(100).budget(budget);

    assert_eq!(
        calls(in_a_moment.clone(), "x".into(), || Err::<Outcome, _>("broken")).await,
        11,
        "one a second, of ten"
    );
    assert_eq!(calls(in_a_moment.clone(), "x".into(), || Err::<Outcome, _>("broken")).await, 1, "it is shared");
}

#[tokio::test(start_paused = true)]
async fn successes_fill_the_budget() {
    let budget = Arc::new(TpsBudget::new(10 * SECOND, 0, 1.0));
    let in_a_moment = RetryPolicy::exponential(Duration::ZERO, Duration::ZERO).max_attempts(100).budget(budget);

    assert_eq!(calls(in_a_moment.clone(), "x".into(), || Err::<Outcome, _>("broken")).await, 1);
    assert_eq!(calls(in_a_moment.clone(), "x".into(), || Ok::<_, BoxError>(Outcome::Retry)).await, 1);
    for _ in 0..3 {
        assert_eq!(calls(in_a_moment.clone(), "x".into(), || Ok::<_, BoxError>(Outcome::Ack)).await, 1);
    }
    assert_eq!(calls(in_a_moment, "x".into(), || Err::<Outcome, _>("broken")).await, 4);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_again_after_the_lease_or_the_message_would_be_over() {
    let retry_in_five = || Err(OutcomeError::retry_after(5 * SECOND, "busy"));
    let (short, _short) = lease(4 * SECOND);
    let (long, _long) = lease(MINUTE);
    let mut expiring = Message::new("x");
    expiring.set_expires(SystemTime::now() + 4 * SECOND);

    assert_eq!(calls(policy(), leased("x", short), retry_in_five).await, 1);
    assert_eq!(calls(policy(), leased("x", long), retry_in_five).await, 3);
    assert_eq!(calls(policy(), expiring, retry_in_five).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_the_lease_is_lost_and_the_service_is_not_called_again() {
    let (lease, control) = lease(MINUTE);
    let seen = Seen::default();
    let receiver =
        RetryLayer::new(policy()).layer(script(&seen, |_| Err(OutcomeError::retry_after(5 * SECOND, "busy"))));
    let mut waiting = tokio_test::task::spawn(answer(&receiver, leased("x", lease)));
    tokio_test::assert_pending!(waiting.poll());

    control.cancel(1, Cancelled::LeaseLost);

    assert!(waiting.is_woken());
    let error = tokio_test::assert_ready_err!(waiting.poll());
    assert_eq!((kind(error), seen.count()), (ErrorKind::LeaseLost, 1));
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_until_the_service_is_ready() {
    let (mut service, mut handle) = stepped(RetryLayer::new(RetryPolicy::exponential(Duration::ZERO, Duration::ZERO)));
    handle.allow(1);
    let mut calling = call(&mut service, "x");
    handle.next_request().await.unwrap().1.send_error("not yet");

    tokio_test::assert_pending!(calling.poll());
    advance(SECOND).await;
    tokio_test::assert_pending!(calling.poll());
    tokio_test::assert_pending!(handle.poll_request());
    handle.allow(1);
    tokio_test::assert_pending!(calling.poll());
    let (message, reply) = handle.next_request().await.unwrap();
    reply.send_response(Outcome::Ack);

    assert_eq!((text(&message).as_str(), message.extensions().get()), ("x", Some(&Repeated(1))));
    assert_eq!(tokio_test::assert_ready_ok!(calling.poll()), Outcome::Ack);
}

#[tokio::test(start_paused = true)]
async fn a_server_sees_one_attempt_where_the_process_makes_three() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let seen = Seen::default();

    let receiver =
        RetryLayer::new(policy()).layer(script(&seen, |call| if call < 3 { Err("not yet") } else { Ok(Outcome::Ack) }));
    let report = serve_for(server(queue.clone()), MINUTE, receiver).await;

    assert_eq!((seen.bodies(), seen.attempts()), (vec!["x".to_owned(); 3], vec![1; 3]));
    assert_eq!((report.metrics.acked, report.metrics.retried, queue.len()), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_retry_at_the_deadline_of_a_shutdown_goes_back_without_blame() {
    let queue = MemoryQueue::builder("jobs").lease(60 * MINUTE).build().unwrap();
    publish(&queue, ["x"]).await;
    let forever = RetryPolicy::exponential(MINUTE, MINUTE).max_attempts(u32::MAX);
    let receiver = RetryLayer::new(forever)
        .layer(service_fn(async |_: Message| Err::<(), _>(OutcomeError::retry_after(MINUTE, "busy"))));

    let server = server(queue.clone()).grace(SECOND);
    let ended = server.serve(receiver).with_graceful_shutdown(tokio::time::sleep(SECOND)).await;

    let report = ended.expect_err("its handler was cancelled").into_report();
    assert_eq!((report.metrics.aborted, queue.len()), (1, 1));
}
