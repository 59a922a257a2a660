//! What is published is what is received.

use std::time::{Duration, SystemTime};

use chappe_core::{Attributes, ErrorKind, Message, Topic, Value};
use chappe_sns::admin::Subscription;
use chappe_sns::{SnsPublisher, Subject};
use chappe_sqs::{Envelope, SqsMetadata};
use serde_json::json;

use crate::pair::{Pair, clients, fresh_name};

fn typed(body: impl Into<Message>) -> Message {
    let mut message = body.into();
    message.attributes_mut().insert("count", 7);
    message.attributes_mut().insert("type", "order.created");
    message
}

/// The same, with everything that has to be packed or encoded, in the order in which it arrives.
fn odd(body: impl Into<Message>) -> Message {
    let mut message = typed(body);
    message.attributes_mut().append("type", "a second value");
    message.attributes_mut().append("with space", "and\0nul");
    message.attributes_mut().append("zero", "");
    message.attributes_mut().append("zilch", Value::Null);
    message
}

fn tagged(tag: &'static str) -> Message {
    let mut message = Message::new(tag);
    message.attributes_mut().insert("tag", tag);
    message
}

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn raw_messages_arrive_as_they_were_published() {
    let pair = Pair::raw().await;
    let bodies: [&[u8]; 5] =
        [b"text", b"", b"\xff\x00", b"-", br#"{"Type":"Notification","TopicArn":"","Message":""}"#];

    for body in bodies {
        let published = odd(body);
        pair.publisher().topic().publish(published.clone()).await.unwrap();
        let received = pair.receive(1).await.remove(0);

        assert_eq!(received.body(), published.body());
        assert_eq!(received.attributes(), published.attributes());
    }
}

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn enveloped_messages_arrive_as_they_were_published() {
    let pair = Pair::with(&Subscription::new().raw(false)).await;
    let mut published = typed("hello");
    published.extensions_mut().insert(Subject("greetings".to_owned()));

    let receipt = pair.publisher().topic().publish(published.clone()).await.unwrap();
    pair.publisher().topic().publish(typed(vec![0xff_u8, 0])).await.unwrap();
    let mut received = pair.receive(2).await;
    received.sort_by_key(|message| message.body().len() == 2);

    assert_eq!(received[0].body(), "hello");
    assert_eq!(received[0].attributes(), published.attributes());
    let sns = received[0].extensions().get::<SqsMetadata>().unwrap().sns.clone().unwrap();
    assert_eq!((&*sns.topic_arn, sns.subject.as_deref()), (&*pair.arn, Some("greetings")));
    assert_eq!(sns.message_id.as_deref(), receipt.id.map(|id| id.to_string()).as_deref());
    assert_eq!(received[1].body(), b"\xff\x00".as_slice());
}

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn an_envelope_that_is_not_wanted_is_left_closed() {
    let pair = Pair::with(&Subscription::new().raw(false)).await;

    pair.publisher().topic().publish("hello").await.unwrap();
    let queue = pair.queue.clone().envelope(Envelope::Never);
    let received = crate::pair::receive(&queue, 1).await.remove(0);

    let json: serde_json::Value = serde_json::from_slice(received.body()).unwrap();
    assert_eq!((&json["Type"], &json["Message"]), (&json!("Notification"), &json!("hello")));
}

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn batches_arrive_whole() {
    let pair = Pair::raw().await;

    let results = pair.publisher().topic().publish_all((0..100).map(|n| typed(format!("m{n}")))).await;
    let received = pair.receive(100).await;

    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let mut bodies: Vec<&[u8]> = received.iter().map(|message| &message.body()[..]).collect();
    bodies.sort_unstable();
    bodies.dedup();
    assert_eq!(bodies.len(), 100);
}

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn thirty_attributes_and_a_binary_one_arrive() {
    let pair = Pair::raw().await;
    let mut published = Message::new("x");
    (10..40).for_each(|n| published.attributes_mut().append(format!("a{n}"), n));
    published.attributes_mut().append("blob", vec![0_u8, 255]);

    pair.publisher().promote(["a39"]).topic().publish(published.clone()).await.unwrap();
    let received = pair.receive(1).await.remove(0);

    assert_eq!(received.attributes(), published.attributes());
}

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn filter_policies_see_attributes_also_beside_packed_ones() {
    let filter = json!({ "type": ["order.created"], "count": [{ "numeric": [">", 5] }] });
    let pair = Pair::with(&Subscription::new().filter(filter)).await;
    let topic = pair.publisher().topic();
    let mut other = typed("other");
    other.attributes_mut().insert("type", "order.deleted");

    topic.publish(other).await.unwrap();
    topic.publish("none").await.unwrap();
    topic.publish(odd("wanted")).await.unwrap();
    let received = pair.receive(1).await.remove(0);

    assert_eq!(received.body(), "wanted");
}

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn a_filter_policy_matches_any_value_of_an_array() {
    let pair = Pair::with(&Subscription::new().filter(json!({ "tag": ["b"] }))).await;
    let topic = pair.publisher().arrays(["tag"]).topic();
    let mut both = tagged("a");
    both.attributes_mut().append("tag", "b");

    topic.publish(tagged("c")).await.unwrap();
    topic.publish(both).await.unwrap();
    let received = pair.receive(1).await.remove(0);

    assert_eq!(received.attributes(), &Attributes::from([("tag", r#"["a","b"]"#)]));
}

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn a_filter_policy_may_look_at_the_body() {
    let pair = Pair::with(&Subscription::new().filter_body(json!({ "id": [7] }))).await;
    let topic = pair.publisher().topic();

    topic.publish(r#"{"id":6}"#).await.unwrap();
    topic.publish(r#"{"id":7}"#).await.unwrap();

    assert_eq!(pair.receive(1).await[0].body(), r#"{"id":7}"#);
}

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn a_fifo_topic_keeps_the_order_of_each_key_and_refuses_duplicates() {
    let pair = Pair::of("CHAPPE_TEST_AWS", ".fifo", &Subscription::new()).await;
    let topic = pair.publisher().topic();
    let message = |key: usize, n: usize| {
        let mut message = Message::new(format!("{key}-{n:02}"));
        message.set_key(format!("key {key}"));
        message.set_id(format!("{key}-{n}"));
        message
    };

    let results = topic.publish_all((0..20).flat_map(|n| [message(0, n), message(1, n), message(1, n)])).await;
    let received = pair.receive(40).await;

    assert!(results.iter().all(Result::is_ok), "{results:?}");
    for key in 0..2 {
        let key = format!("key {key}");
        let of_key = received.iter().filter(|message| message.key().unwrap().as_str() == Some(&key));
        let bodies: Vec<&[u8]> = of_key.map(|message| &message.body()[..]).collect();
        assert!(bodies.len() == 20 && bodies.is_sorted(), "{key}: {bodies:?}");
    }
}

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn expiry_and_key_arrive_on_a_standard_topic() {
    let pair = Pair::raw().await;
    let mut published = Message::new("x");
    published.set_key("tenant-7");
    published.set_expires(SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000));

    pair.publisher().topic().publish(published.clone()).await.unwrap();
    let received = pair.receive(1).await.remove(0);

    assert_eq!(received.expires(), published.expires());
    // Emulators may or may not hand the group of a standard topic on.
    assert!(received.key().is_none_or(|key| key.as_str() == Some("tenant-7")));
}

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn a_topic_that_is_not_there_is_named() {
    let (sns, _) = clients("CHAPPE_TEST_AWS");
    let arn = format!("arn:aws:sns:us-east-1:000000000000:{}", fresh_name());

    let error = SnsPublisher::new(&sns, &arn).topic().publish("x").await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains(&arn), "{error}");
}

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn a_url_names_a_topic_of_an_emulator() {
    let pair = Pair::raw().await;
    let endpoint = std::env::var("CHAPPE_TEST_AWS").unwrap();
    let name = pair.arn.rsplit(':').next().unwrap();
    let address = format!("sns+{endpoint}/000000000000/{name}?strict=true").parse().unwrap();

    SnsPublisher::at(&pair.sns, &address).topic().publish("by url").await.unwrap();

    assert_eq!(pair.receive(1).await[0].body(), "by url");
}
