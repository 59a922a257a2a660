use chappe::memory::MemoryQueue;
use chappe::testing::{Recorder, perform};
use chappe::{Message, Outcome, Topic};
use chappe_middleware::scope::{FilterScopeLayer, SetScopeLayer, Unmatched};
use tower::ServiceBuilder;
use tower_test::mock;

use crate::kit::{Mock, SECOND, Seen, serve, with};

#[tokio::test]
async fn others_are_treated_as_was_said_and_counted() {
    for (decision, outcome) in [
        (Unmatched::Ack, Outcome::Ack),
        (Unmatched::RetryAfter(SECOND), Outcome::RetryAfter(SECOND)),
        (Unmatched::Reject, Outcome::reject("message of scope \"us\", only [\"eu\", \"uk\"] are handled here")),
    ] {
        let layer = FilterScopeLayer::one_of(["eu", "uk"], decision);
        let unmatched = layer.unmatched();
        let (mut receiver, mut handle) = mock::spawn_layer::<Message, (), _>(layer);
        handle.allow(1);
        assert!(receiver.poll_ready().is_ready());

        let answered = receiver.call(with("scope", "us")).await.unwrap();

        assert_eq!((answered, unmatched.get()), (outcome, 1));
        assert!(tokio_test::task::spawn(handle.next_request()).poll().is_pending(), "nothing reaches the receiver");
    }
}

#[tokio::test]
async fn matching_messages_and_those_that_pass_are_handled() {
    let seen = Seen::default();
    let filter = FilterScopeLayer::new("eu", Unmatched::Pass).unscoped(Unmatched::Reject);
    let unmatched = filter.unmatched();
    let receiver = ServiceBuilder::new().layer(filter).service(seen.failing(0));

    perform(receiver.clone(), with("Scope", "eu")).await.assert_acked();
    perform(receiver.clone(), with("scope", "us")).await.assert_acked();
    perform(receiver, "none").await.assert_rejected("message has no scope");

    assert_eq!((seen.count(), unmatched.get()), (2, 2));
}

#[tokio::test]
async fn a_published_message_keeps_the_scope_it_has() {
    let recorder = Recorder::new();
    let topic = ServiceBuilder::new().layer(SetScopeLayer::new("eu")).service(recorder.clone());

    topic.publish("ours").await.unwrap();
    topic.publish(with("scope", "us")).await.unwrap();

    let scopes: Vec<_> =
        recorder.messages().iter().map(|m| m.attributes().get_str("scope").unwrap().to_owned()).collect();
    assert_eq!(scopes, ["eu", "us"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_let_through_is_the_same_at_every_attempt() {
    let (queue, seen) = (MemoryQueue::new("jobs"), Seen::default());
    let topic = ServiceBuilder::new().layer(SetScopeLayer::new("eu")).service(queue.topic());
    topic.publish("ours").await.unwrap();
    topic.publish(with("scope", "us")).await.unwrap();

    let filter = FilterScopeLayer::new("eu", Unmatched::Ack);
    let report = serve(&queue, ServiceBuilder::new().layer(filter).service(seen.failing(2))).await;

    seen.assert_same(3);
    assert_eq!(report.metrics.acked, 2);
}

#[tokio::test]
async fn readiness_is_that_of_the_service_within() {
    let (mut receiver, mut handle): (mock::Spawn<_>, _) =
        mock::spawn_with(|mock: Mock| tower::Layer::layer(&FilterScopeLayer::new("eu", Unmatched::Ack), mock));

    handle.allow(0);
    assert!(receiver.poll_ready().is_pending());
    handle.send_error("broken");
    assert!(matches!(receiver.poll_ready(), std::task::Poll::Ready(Err(_))));
}
