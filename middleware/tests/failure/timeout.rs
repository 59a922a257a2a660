use std::future::pending;
use std::time::Duration;

use chappe::{BoxError, Error, ErrorKind, Message, Outcome, Published, Topic};
use chappe_memory::MemoryQueue;
use chappe_middleware::timeout::TimeoutLayer;
use tokio::time::{Instant, advance};
use tower::{Layer, service_fn};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_is_an_ambiguous_timeout() {
    let (mut service, mut handle) = stepped(TimeoutLayer::new(SECOND));

    let mut slow = call(&mut service, "slow");
    let _request = handle.next_request().await.unwrap();
    tokio_test::assert_pending!(slow.poll());
    advance(SECOND - Duration::from_millis(1)).await;
    tokio_test::assert_pending!(slow.poll());
    advance(Duration::from_millis(1)).await;

    let error = tokio_test::assert_ready_err!(slow.poll());
    assert_eq!((error.to_string().as_str(), Outcome::of_error(&*error)), ("no answer within 1s", Outcome::Retry));
    let error = Error::from_boxed(error);
    assert_eq!((error.kind(), error.is_ambiguous(), error.is_retryable()), (ErrorKind::Timeout, true, true));
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_is_handed_on() {
    let (mut service, mut handle) = stepped(TimeoutLayer::new(SECOND));

    let mut quick = call(&mut service, "quick");
    tokio_test::assert_pending!(quick.poll());
    advance(SECOND / 2).await;
    handle.next_request().await.unwrap().1.send_response(Outcome::Ack);

    assert_eq!(tokio_test::assert_ready_ok!(quick.poll()), Outcome::Ack);
}

/// How long a call takes until it times out.
async fn time_out(layer: TimeoutLayer, message: Message) -> Duration {
    let start = Instant::now();
    let stuck = layer.layer(service_fn(|_: Message| pending::<Result<(), BoxError>>()));
    assert_eq!(kind(answer(&stuck, message).await.unwrap_err()), ErrorKind::Timeout);
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_share_of_what_is_left_of_the_lease_limits_a_message() {
    let (ten, _control) = lease(10 * SECOND);

    let took = time_out(TimeoutLayer::from_lease(0.5), leased("x", ten)).await;

    assert_eq!(took, 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_shorter_of_both_limits_counts() {
    let both = TimeoutLayer::from_lease(0.5).at_most(3 * SECOND);
    let (long, _long) = lease(10 * SECOND);
    let (short, _short) = lease(4 * SECOND);

    assert_eq!(time_out(both, leased("x", long)).await, 3 * SECOND);
    assert_eq!(time_out(both, leased("x", short)).await, SECOND / 2, "three of four seconds are over");
    assert_eq!(time_out(both, Message::new("no lease")).await, 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_over_leaves_no_time() {
    let (over, _control) = lease(SECOND);
    advance(2 * SECOND).await;

    assert_eq!(time_out(TimeoutLayer::from_lease(0.9), leased("x", over)).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_lease_is_not_limited_by_it() {
    let stuck = TimeoutLayer::from_lease(0.5).layer(service_fn(|_: Message| pending::<Result<(), BoxError>>()));

    let waited = tokio::time::timeout(24 * 60 * MINUTE, answer(&stuck, "x")).await;

    assert!(waited.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_topic_times_out_as_well() {
    let topic = TimeoutLayer::new(SECOND).layer(service_fn(|_: Message| pending::<Result<Published, Error>>()));

    let error = is_topic(topic).publish("x").await.unwrap_err();

    assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Timeout, true));
}

#[tokio::test(start_paused = true)]
async fn a_server_retries_what_timed_out_by_its_lease() {
    let queue = MemoryQueue::builder("jobs").lease(10 * SECOND).build().unwrap();
    publish(&queue, ["x"]).await;
    let (seen, start) = (Seen::default(), Instant::now());

    let log = seen.clone();
    let receiver = TimeoutLayer::from_lease(0.5).layer(service_fn(move |message: Message| {
        let first = log.note(&message) == 1;
        async move {
            if first {
                pending::<()>().await;
            }
            assert_eq!(start.elapsed(), 6 * SECOND, "half the lease, and the backoff");
            Ok::<_, BoxError>(())
        }
    }));
    let report = serve_for(server(queue), MINUTE, receiver).await;

    assert_eq!((report.metrics.errors, report.metrics.panics, report.metrics.acked), (1, 0, 1));
    assert_eq!(seen.attempts(), [1, 2]);
}
