//! The recorder.

use std::time::Duration;

use chappe::testing::Recorder;
use chappe::{ErrorKind, Message, MessageId, Topic};
use chappe_memory::MemoryQueue;

#[tokio::test(start_paused = true)]
async fn what_was_published_is_remembered_in_order() {
    let recorder = Recorder::new();
    let mut second = Message::new("b");
    second.attributes_mut().insert("type", "t");

    let receipt = recorder.publish("a").await.unwrap();
    recorder.clone().publish(second).await.unwrap();

    let published = recorder.assert_published(2);
    assert_eq!(receipt.id, Some(MessageId::from_u64(1)));
    assert_eq!((&published[0].body()[..], published[1].attributes().get_str("type")), (&b"a"[..], Some("t")));
    assert_eq!(recorder.take().len(), 2);
    assert!(recorder.messages().is_empty());
}

#[tokio::test(start_paused = true)]
async fn failures_are_as_many_as_asked_and_nothing_is_published() {
    let recorder = Recorder::new();
    recorder.fail_next(2, ErrorKind::Throttled);

    let results = recorder.publish_all(["a", "b", "c"]).await;

    let kinds: Vec<_> = results.iter().map(|result| result.as_ref().map_err(|error| error.kind()).err()).collect();
    assert_eq!(kinds, [Some(ErrorKind::Throttled), Some(ErrorKind::Throttled), None]);
    assert_eq!((recorder.assert_published(1)[0].body().as_ref(), recorder.failures()), (&b"c"[..], 2));
}

#[tokio::test(start_paused = true)]
async fn a_lost_receipt_is_ambiguous_and_the_message_published() {
    let recorder = Recorder::new();
    recorder.lose_next_receipts(1);

    let error = recorder.publish("a").await.unwrap_err();

    assert!(error.is_ambiguous());
    recorder.assert_published(1);
}

#[tokio::test(start_paused = true)]
async fn around_a_topic_only_what_it_accepts_is_remembered() {
    let queue = MemoryQueue::new("jobs");
    let recorder = Recorder::around(queue.topic());
    queue.faults().fail_next_publishes(1, ErrorKind::Unavailable);

    let refused = recorder.publish("a").await;
    recorder.publish("b").await.unwrap();

    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!((recorder.assert_published(1)[0].body().as_ref(), queue.len()), (&b"b"[..], 1));
}

#[tokio::test(start_paused = true)]
async fn next_waits_and_goes_on_where_it_was() {
    let recorder = Recorder::new();
    recorder.publish("a").await.unwrap();
    let later = recorder.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        later.publish("b").await.unwrap();
    });

    let (first, second) = (recorder.next().await, recorder.next().await);

    assert_eq!((&first.body()[..], &second.body()[..]), (&b"a"[..], &b"b"[..]));
    recorder.assert_published(2);
}

#[tokio::test(start_paused = true)]
async fn a_condition_finds_its_message() {
    let recorder = Recorder::new();
    recorder.publish_all(["a", "b"]).await;

    let found = recorder.assert_any(|message| message.body() == "b");

    assert_eq!(found.body(), "b");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "tests/testing/recorder.rs:94:14: no further message was published; there were:\n  \"a\"")]
async fn next_in_vain_says_what_there_was_and_who_waited() {
    let recorder = Recorder::new();
    recorder.publish("a").await.unwrap();
    recorder.next().await;

    recorder.next().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "expected 2 published, found 1:\n  \"a\" type=\"t\"")]
async fn a_wrong_count_shows_what_there_was() {
    let recorder = Recorder::new();
    let mut message = Message::new("a");
    message.attributes_mut().insert("type", "t");
    recorder.publish(message).await.unwrap();

    recorder.assert_published(2);
}

#[test]
#[should_panic(expected = "expected one that meets the condition, found:\n  nothing")]
fn a_condition_nothing_meets_shows_what_there_was() {
    Recorder::new().assert_any(|_| true);
}
