use chappe::memory::MemoryQueue;
use chappe::testing::{Recorder, perform};
use chappe::{BoxError, Message, Topic};
use chappe_middleware::dry_run::{AdoptDryRunLayer, CarryDryRunLayer, DryRun, SuppressDryRunLayer};
use tower::{ServiceBuilder, service_fn};
use tower_test::mock;

use crate::kit::{Seen, serve, with};

#[tokio::test]
async fn a_flag_is_true_false_or_refused() {
    let (mut receiver, mut handle) = mock::spawn_layer::<Message, (), _>(AdoptDryRunLayer::new());
    handle.allow(1);
    assert!(receiver.poll_ready().is_ready());

    let refused = receiver.call(with("dry-run", "perhaps")).await;

    assert!(matches!(chappe::Outcome::of_error(refused.unwrap_err().as_ref()), chappe::Outcome::Reject(_)));
    assert_eq!(DryRun::of(&with("Dry-Run", "TRUE")).unwrap(), DryRun(true));
    assert_eq!(DryRun::of(&with("dry-run", "false")).unwrap(), DryRun(false));
    assert_eq!(DryRun::of(&Message::new("x")).unwrap(), DryRun(false));
}

#[tokio::test]
async fn what_is_published_in_a_rehearsal_is_marked() {
    let sent = Recorder::new();
    let topic = ServiceBuilder::new().layer(CarryDryRunLayer::new()).service(sent.clone());

    DryRun(true).scope(topic.publish("rehearsed")).await.unwrap();
    DryRun(true).scope(topic.publish(with("dry-run", "false"))).await.unwrap();
    DryRun(false).scope(topic.publish("real")).await.unwrap();
    topic.publish("outside").await.unwrap();

    let marks: Vec<_> = sent.messages().iter().map(|m| m.attributes().get_str("dry-run").map(str::to_owned)).collect();
    assert_eq!(marks, [Some("true".to_owned()), Some("false".to_owned()), None, None]);
}

#[tokio::test]
async fn what_is_marked_or_published_in_a_rehearsal_can_be_suppressed() {
    let (sent, suppress) = (Recorder::new(), SuppressDryRunLayer::new());
    let suppressed = suppress.suppressed();
    let topic = ServiceBuilder::new().layer(suppress).layer(CarryDryRunLayer::new()).service(sent.clone());

    let receipt = DryRun(true).scope(topic.publish("rehearsed")).await.unwrap();
    topic.publish(with("dry-run", "true")).await.unwrap();
    topic.publish(with("dry-run", "perhaps")).await.unwrap();

    assert_eq!(receipt, chappe::Published::default());
    assert_eq!(suppressed.get(), 2);
    sent.assert_published(1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_knows_at_every_attempt() {
    let (queue, seen) = (MemoryQueue::new("jobs"), Seen::default());
    queue.topic().publish(with("dry-run", "true")).await.unwrap();
    let handler = seen.failing(1);
    let receiver = service_fn(move |message: Message| {
        let mut handler = handler.clone();
        async move {
            assert_eq!(DryRun::current(), DryRun(true));
            tower::Service::call(&mut handler, message).await.map(drop).map_err(Into::<BoxError>::into)
        }
    });

    let report = serve(&queue, ServiceBuilder::new().layer(AdoptDryRunLayer::new()).service(receiver)).await;

    seen.assert_same(2);
    assert_eq!((report.metrics.acked, DryRun::current()), (1, DryRun(false)));
}

#[tokio::test]
async fn without_a_layer_everything_is_published() {
    let sent = Recorder::new();
    let topic = sent.clone();
    let receiver = service_fn(move |message: Message| {
        let topic = topic.clone();
        async move { topic.publish(message).await }
    });

    perform(receiver, with("dry-run", "true")).await.assert_acked();

    sent.assert_published(1);
}
