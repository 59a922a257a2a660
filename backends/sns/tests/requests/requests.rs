//! How messages become requests.

use std::time::{Duration, SystemTime};

use chappe_core::backend::{Outgoing, PublishResult, Publisher};
use chappe_core::{ErrorKind, Message, Topic};
use chappe_sns::Subject;

use crate::fake::{ARN, FIFO, Fake, attributes, entries};

fn message(body: &'static str, names: &[(&'static str, &'static str)]) -> Message {
    let mut message = Message::new(body);
    names.iter().for_each(|(name, value)| message.attributes_mut().append(*name, *value));
    message
}

/// Publishes one message and answers its request.
async fn sent(message: Message) -> crate::fake::Request {
    let fake = Fake::accepting();
    fake.publisher(ARN).topic().publish(message).await.unwrap();
    fake.requests().remove(0)
}

#[tokio::test]
async fn a_message_alone_is_published_by_itself() {
    let request = sent(message("hello", &[("type", "greeting")])).await;

    assert_eq!((&*request["Action"], &*request["TopicArn"], &*request["Message"]), ("Publish", ARN, "hello"));
    assert_eq!(attributes(&request)["type"], ("String".into(), "greeting".into()));
    assert!(!request.contains_key("MessageGroupId") && !request.contains_key("MessageDeduplicationId"));
}

#[tokio::test]
async fn many_messages_go_out_in_tens() {
    let fake = Fake::accepting();
    let topic = fake.publisher(ARN).topic();

    let results = topic.publish_all((0..95).map(|n| format!("m{n}"))).await;

    assert!(results.iter().all(Result::is_ok));
    let sizes: Vec<usize> = fake.requests().iter().map(|request| entries(request).len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 95);
    assert!(sizes.len() <= 11, "{sizes:?}");
}

#[tokio::test]
async fn a_batch_stays_within_the_bytes_of_the_topic() {
    let fake = Fake::accepting();
    let topic = fake.publisher(ARN).topic();

    // Bytes that are no text take a third more than is known before they are encoded.
    let results = topic.publish_all((0..10).map(|_| vec![0xff_u8; 50_000])).await;

    assert!(results.iter().all(Result::is_ok));
    for request in fake.requests() {
        let bytes: usize = entries(&request).iter().map(|entry| entry["Message"].len()).sum();
        assert!(bytes <= 256 << 10, "{bytes}");
    }
}

#[tokio::test]
async fn kinds_of_values_are_typed_for_filter_policies() {
    let mut typed = Message::new("x");
    typed.attributes_mut().insert("count", 7);
    typed.attributes_mut().insert("raw", vec![1_u8, 2]);

    let attributes = attributes(&sent(typed).await);

    assert_eq!(attributes["count"], ("Number".into(), "7".into()));
    assert_eq!(attributes["raw"], ("Binary".into(), "AQI=".into()));
}

#[tokio::test]
async fn eleven_attributes_become_ten_and_promoted_ones_stay() {
    const NAMES: [&str; 11] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
    let fake = Fake::accepting();
    let many = || message("x", &NAMES.map(|name| (name, "1")));

    fake.publisher(ARN).promote(["k"]).topic().publish(many()).await.unwrap();
    let refused = fake.publisher(ARN).strict(true).topic().publish(many()).await.unwrap_err();

    let attributes = attributes(&fake.requests()[0]);
    assert_eq!(attributes.len(), 10);
    assert!(attributes.contains_key("k") && attributes["msg-attrs"].0 == "Binary");
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    assert!(refused.to_string().contains("11 attributes, the limit is 10"), "{refused}");
    assert_eq!(fake.requests().len(), 1);
}

#[tokio::test]
async fn several_values_of_a_listed_name_are_one_array() {
    let fake = Fake::accepting();
    let tagged = message("x", &[("tag", "a"), ("tag", "b")]);

    fake.publisher(ARN).arrays(["tag"]).topic().publish(tagged).await.unwrap();

    assert_eq!(attributes(&fake.requests()[0])["tag"], ("String.Array".into(), r#"["a","b"]"#.into()));
}

#[tokio::test]
async fn any_body_is_carried() {
    for (body, wire, encoding) in [
        (&b"plain"[..], "plain", None),
        (b"", "-", Some("empty")),
        (b"\xff\x00", "/wA=", Some("base64")),
        (b"nul\0", "bnVsAA==", Some("base64")),
    ] {
        let request = sent(Message::new(body)).await;

        let attributes = attributes(&request);
        assert_eq!(request["Message"], wire);
        assert_eq!(attributes.get("msg-encoding").map(|(_, value)| value.as_str()), encoding);
    }
}

#[tokio::test]
async fn a_body_that_looks_like_an_envelope_is_hidden_from_receivers_that_open_them() {
    let request = sent(Message::new(r#"{"Type":"Notification","TopicArn":"a","Message":"m"}"#)).await;

    assert_eq!(attributes(&request)["msg-encoding"].1, "base64");
}

#[tokio::test]
async fn subject_and_expiry_are_sent() {
    let mut expiring = Message::new("x");
    expiring.set_expires(SystemTime::UNIX_EPOCH + Duration::from_millis(1_234));
    expiring.extensions_mut().insert(Subject("Good news".to_owned()));

    let request = sent(expiring).await;

    assert_eq!(request["Subject"], "Good news");
    assert_eq!(attributes(&request)["msg-expires"], ("Number".into(), "1234".into()));
}

#[tokio::test]
async fn keys_are_groups_and_ids_recognise_duplicates_on_a_fifo_topic() {
    let fake = Fake::accepting();
    let topic = fake.publisher(FIFO).topic();
    let mut keyed = Message::new("x");
    keyed.set_key("tenant-7");
    keyed.set_id("order-1");
    let mut odd = Message::new("x");
    odd.set_key(vec![0xff_u8]);

    topic.publish(keyed).await.unwrap();
    topic.publish(odd).await.unwrap();
    topic.publish("neither").await.unwrap();

    let requests = fake.requests();
    let ids = |at: usize| (&*requests[at]["MessageGroupId"], &*requests[at]["MessageDeduplicationId"]);
    assert_eq!(ids(0), ("tenant-7", "order-1"));
    assert!(ids(1).0.starts_with("key-") && attributes(&requests[1])["msg-key"].0 == "Binary");
    assert!(ids(2).0.starts_with("unkeyed-") && !ids(2).1.is_empty() && ids(1).1 != ids(2).1);
}

#[tokio::test]
async fn a_key_is_the_group_on_a_standard_topic_too() {
    let mut keyed = Message::new("x");
    keyed.set_key("tenant-7");

    let request = sent(keyed).await;

    assert_eq!(request["MessageGroupId"], "tenant-7");
    assert!(!request.contains_key("MessageDeduplicationId"));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_any_request_and_keeps_no_neighbour() {
    let fake = Fake::accepting();
    let publisher = fake.publisher(ARN).max_message_bytes(100);
    let mut subject = Message::new("x");
    subject.extensions_mut().insert(Subject("two\nlines".to_owned()));
    let bodies = [Message::new(vec![b'x'; 101]), Message::new(vec![0xff_u8; 80]), subject, Message::new("fine")];
    let mut batch = bodies.map(Outgoing::new);

    publisher.publish(&mut batch).await.unwrap();

    let failed = |at: usize| match &batch[at].result {
        PublishResult::Failed(error) => (error.kind(), error.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!(failed(0).0, ErrorKind::TooLarge);
    let (kind, text) = failed(1);
    assert_eq!(kind, ErrorKind::TooLarge);
    // 100 bytes less those of the attribute that says so, three quarters of them.
    assert!(text.contains("room for 57, as it has to be carried in base64"), "{text}");
    assert_eq!(failed(2).0, ErrorKind::Invalid);
    assert!(matches!(batch[3].result, PublishResult::Accepted(_)));
    assert_eq!(fake.requests().len(), 1);
}

#[tokio::test]
async fn a_delay_is_refused() {
    let fake = Fake::accepting();
    let mut delayed = Message::new("x");
    delayed.set_delay(Duration::from_secs(1));

    let error = fake.publisher(ARN).topic().publish(delayed).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(fake.requests().is_empty());
}
