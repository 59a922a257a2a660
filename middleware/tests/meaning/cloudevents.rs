use chappe::memory::MemoryQueue;
use chappe::testing::{Recorder, perform};
use chappe::{ErrorKind, Message, Outcome, Topic, Value};
use chappe_middleware::cloudevents::{
    Binding, CloudEvent, ExtensionValue, Mode, ReadCloudEventsLayer, WriteCloudEventsLayer,
};
use proptest::prelude::*;
use tower::ServiceBuilder;
use tower_test::mock;

use crate::kit::{Seen, serve};

const BINDINGS: [Binding; 6] =
    [Binding::Generic, Binding::Amqp, Binding::Kafka, Binding::Nats, Binding::Pubsub, Binding::Sqs];

fn event() -> CloudEvent {
    let mut event = CloudEvent::new("7", "/orders", "order.created");
    event.set_data("application/json", r#"{"price":0.10000000000000000001}"#);
    event
}

fn structured(json: &'static str) -> Message {
    let mut message = Message::new(json);
    message.attributes_mut().insert("Content-Type", "application/cloudevents+json; charset=utf-8");
    message
}

fn names(message: &Message) -> Vec<(String, String)> {
    message.attributes().iter().map(|(name, value)| (name.to_string(), value.as_str().unwrap().to_owned())).collect()
}

#[test]
fn each_protocol_has_its_names() {
    for (binding, id, content_type) in [
        (Binding::Generic, "ce-id", "content-type"),
        (Binding::Amqp, "cloudEvents_id", "content-type"),
        (Binding::Kafka, "ce_id", "content-type"),
        (Binding::Nats, "ce-id", "ce-datacontenttype"),
        (Binding::Pubsub, "ce-id", "content-type"),
        (Binding::Sqs, "ce-id", "content-type"),
    ] {
        let message = event().to_message(binding, Mode::Binary).unwrap();

        assert_eq!(message.attributes().get_exact(id), Some(&Value::from("7")), "{binding:?}");
        assert_eq!(message.attributes().get_exact(content_type), Some(&Value::from("application/json")));
        assert_eq!(message.body(), event().data());
    }
    let structured_by_default: Vec<_> = BINDINGS.into_iter().filter(|b| b.default_mode() == Mode::Structured).collect();
    assert_eq!(structured_by_default, [Binding::Sqs]);
}

#[test]
fn the_example_of_the_specification_is_read() {
    let message = structured(
        r#"{
            "specversion" : "1.0", "type" : "com.example.someevent", "source" : "/mycontext", "subject": null,
            "id" : "C234-1234-1234", "time" : "2018-04-05T17:31:00Z", "comexampleextension1" : "value",
            "comexampleothervalue" : 5, "datacontenttype" : "application/vnd.apache.thrift.binary",
            "data_base64" : "AAEC"
        }"#,
    );

    let event = CloudEvent::from_message(&message).unwrap();

    assert_eq!((event.id(), event.source(), event.kind()), ("C234-1234-1234", "/mycontext", "com.example.someevent"));
    assert_eq!((event.subject(), event.time_text()), (None, Some("2018-04-05T17:31:00Z")));
    assert_eq!(event.extension("comexampleextension1"), Some(&"value".into()));
    assert_eq!(event.extension("comexampleothervalue"), Some(&ExtensionValue::Integer(5)));
    assert_eq!(event.data(), &[0, 1, 2][..]);
}

#[test]
fn data_is_json_text_or_bytes() {
    let data = |json: &'static str| CloudEvent::from_message(&structured(json)).unwrap().into_data();
    let base = r#"{"specversion":"1.0","id":"1","source":"/","type":"t","#;
    let with = |rest: &str| -> &'static str { Box::leak(format!("{base}{rest}}}").into_boxed_str()) };

    assert_eq!(data(with(r#""data":{"a": 1.0}"#)), r#"{"a": 1.0}"#);
    assert_eq!(data(with(r#""data":"text""#)), r#""text""#);
    assert_eq!(data(with(r#""data":null"#)), "null");
    assert_eq!(data(with(r#""datacontenttype":"text/plain","data":"text""#)), "text");
    assert_eq!(data(with(r#""datacontenttype":"application/xml","data":"<a/>""#)), "<a/>");
    assert_eq!(data(with(r#""datacontenttype":"application/json""#)), "");
}

#[test]
fn structured_data_is_written_as_json_text_or_base64() {
    let written = |content_type: &'static str, data: &'static [u8]| {
        let mut event = CloudEvent::new("1", "/", "t");
        event.set_data(content_type, data);
        let message = event.to_message(Binding::Sqs, Mode::Structured).unwrap();
        let body = String::from_utf8(message.body().to_vec()).unwrap();
        body[body.find(r#""data"#).unwrap()..].to_owned()
    };

    assert_eq!(
        written("application/json", br#"{"a": 1.0}"#),
        r#""datacontenttype":"application/json","data":{"a": 1.0}}"#
    );
    assert!(written("text/plain", b"a \"b\"").ends_with(r#""data":"a \"b\""}"#));
    assert!(written("image/png", &[0, 1, 2]).ends_with(r#""data_base64":"AAEC"}"#));
    assert!(written("application/json", b"no json").ends_with(r#""data_base64":"bm8ganNvbg=="}"#));
}

#[test]
fn names_are_found_whatever_their_case_and_prefix() {
    for (prefix, content_type) in [
        ("CE-", "Content-Type"),
        ("ce_", "content-type"),
        ("cloudEvents:", "content-type"),
        ("cloudevents_", "content-type"),
        ("Ce-", "Ce-Datacontenttype"),
    ] {
        let mut message = Message::new("text");
        for (name, value) in [("Specversion", "1.0"), ("Id", "1"), ("SOURCE", "/"), ("type", "t"), ("Tenant", "acme")] {
            // Kafka's headers are bytes.
            message.attributes_mut().insert(format!("{prefix}{name}"), value.as_bytes().to_vec());
        }
        message.attributes_mut().insert(content_type, "text/plain");

        let event = CloudEvent::from_message(&message).unwrap();

        assert_eq!((event.id(), event.data_content_type()), ("1", Some("text/plain")), "{prefix}");
        assert_eq!(event.extension("tenant"), Some(&"acme".into()));
    }
}

#[test]
fn values_are_percent_encoded_for_nats_alone() {
    let mut event = event();
    event.set_subject("100% \"caf\u{e9}\"");

    let nats = event.to_message(Binding::Nats, Mode::Binary).unwrap();
    let plain = event.to_message(Binding::Generic, Mode::Binary).unwrap();

    assert_eq!(nats.attributes().get_str("ce-subject"), Some("100%25%20%22caf%C3%A9%22"));
    assert_eq!(plain.attributes().get_str("ce-subject"), Some("100% \"caf\u{e9}\""));
    assert_eq!(CloudEvent::from_message_of(&nats, Binding::Nats).unwrap(), event);
}

#[test]
fn what_is_no_valid_event_is_told() {
    for (json, fault) in [
        (r#"{"specversion":"1.0","id":"","source":"/","type":"t"}"#, "empty id"),
        (r#"{"specversion":"1.0","id":"1","type":"t"}"#, "empty source"),
        (r#"{"specversion":"1.0","id":"1","source":"a b","type":"t"}"#, "source that is no URI"),
        (r#"{"specversion":"0.3","id":"1","source":"/","type":"t"}"#, "specversion \"0.3\""),
        (r#"{"id":"1","source":"/","type":"t"}"#, "no specversion"),
        (r#"{"specversion":"1.0","id":1,"source":"/","type":"t"}"#, "id that is no string"),
        (r#"{"specversion":"1.0","id":"1","id":"2","source":"/","type":"t"}"#, "twice"),
        (r#"{"specversion":"1.0","id":"1","source":"/","type":"t","time":"yesterday"}"#, "RFC 3339"),
        (r#"{"specversion":"1.0","id":"1","source":"/","type":"t","time":"2024-01-01 00:00:00Z"}"#, "RFC 3339"),
        (r#"{"specversion":"1.0","id":"1","source":"/","type":"t","Up":"x"}"#, "extension \"Up\""),
        (r#"{"specversion":"1.0","id":"1","source":"/","type":"t","x":[1]}"#, "extension \"x\""),
        (r#"{"specversion":"1.0","id":"1","source":"/","type":"t","x":2147483648}"#, "extension \"x\""),
        (r#"{"specversion":"1.0","id":"1","source":"/","type":"t\n"}"#, "control character in its type"),
        (r#"{"specversion":"1.0","id":"1","source":"/","type":"t","data":1,"data_base64":""}"#, "both"),
        (r#"{"specversion":"1.0","id":"1","source":"/","type":"t","data_base64":"?"}"#, "no base64"),
        (r#"{"specversion":"1.0""#, "not a JSON object: fault at line 1"),
        ("[]", "not a JSON object"),
    ] {
        let error = CloudEvent::from_message(&structured(json)).unwrap_err();
        assert!(error.to_string().contains(fault), "{json}: {error}");
        assert!(matches!(Outcome::of_error(&error), Outcome::Reject(_)));
    }
    let mut avro = Message::new("");
    avro.attributes_mut().insert("content-type", "application/cloudevents+avro");
    assert!(CloudEvent::from_message(&avro).unwrap_err().to_string().contains("application/cloudevents+avro"));
    assert!(CloudEvent::from_message(&Message::new("x")).unwrap_err().to_string().contains("not a CloudEvent"));
}

#[test]
fn a_structured_event_is_known_without_a_content_type() {
    let body = br#" {"specversion":"1.0","id":"1","source":"/","type":"t"}"#;

    assert_eq!(Mode::of(&Message::new(&body[..])), Some(Mode::Structured));
    assert_eq!(Mode::of(&Message::new(r#"{"id":"1"}"#)), None);
    assert_eq!(Mode::of(&Message::new("specversion")), None);
}

#[test]
fn batches_of_any_size_survive() {
    for size in [0, 1, 3] {
        let events: Vec<_> = (0..size).map(|n| CloudEvent::new(n.to_string(), "/", "t")).collect();

        let message = CloudEvent::to_batch(&events).unwrap();

        assert_eq!(Mode::of(&message), Some(Mode::Batch));
        assert_eq!(CloudEvent::read_batch(&message).unwrap(), events);
    }
    let with_a_bad_one = [event(), CloudEvent::new("", "/", "t")];
    assert_eq!(CloudEvent::to_batch(&with_a_bad_one).unwrap_err().kind(), ErrorKind::Invalid);
    assert!(CloudEvent::read_batch(&event().to_message(Binding::Generic, Mode::Binary).unwrap()).is_err());
}

#[test]
fn writing_an_event_leaves_the_rest_of_a_message() {
    let mut message = event().to_message(Binding::Kafka, Mode::Binary).unwrap();
    message.attributes_mut().append("tenant", "acme");
    let mut keyed = event();
    keyed.set_extension("partitionkey", "room-1");

    keyed.write_to(&mut message, Binding::Sqs, Mode::Structured).unwrap();

    let expected = [("content-type", "application/cloudevents+json"), ("tenant", "acme")];
    assert_eq!(names(&message), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(message.key().unwrap().as_str(), Some("room-1"));
}

#[tokio::test]
async fn an_invalid_event_does_not_reach_the_receiver() {
    let (mut receiver, mut handle) = mock::spawn_layer::<Message, (), _>(ReadCloudEventsLayer::new());
    handle.allow(1);
    assert!(receiver.poll_ready().is_ready());

    let error = receiver.call(structured("{}")).await.unwrap_err();

    assert_eq!(Outcome::of_error(error.as_ref()), Outcome::reject("event has no specversion"));
    assert!(tokio_test::task::spawn(handle.next_request()).poll().is_pending());
}

#[tokio::test]
async fn what_is_no_event_passes_or_is_rejected_and_batches_pass() {
    let seen = Seen::default();
    let receiver = |layer| ServiceBuilder::new().layer(layer).service(seen.failing(0));
    let batch = CloudEvent::to_batch(&[event()]).unwrap();

    perform(receiver(ReadCloudEventsLayer::new()), "plain").await.assert_acked();
    perform(receiver(ReadCloudEventsLayer::new()), batch.clone()).await.assert_acked();
    perform(receiver(ReadCloudEventsLayer::new().or_reject()), "plain").await.assert_rejected("not a CloudEvent");

    let messages = seen.messages();
    assert_eq!((messages[0].body(), messages[1].body()), (&"plain".into(), batch.body()));
}

#[tokio::test]
async fn publishing_refuses_what_cannot_be_an_event() {
    let sent = Recorder::new();
    let topic =
        ServiceBuilder::new().layer(WriteCloudEventsLayer::new(Binding::Generic).wrap("/")).service(sent.clone());
    let mut bad = Message::new("x");
    bad.attributes_mut().insert("ce-specversion", "1.0");

    let untyped = topic.publish("x").await.unwrap_err();
    let invalid = topic.publish(bad).await.unwrap_err();
    ServiceBuilder::new()
        .layer(WriteCloudEventsLayer::new(Binding::Kafka))
        .service(sent.clone())
        .publish("x")
        .await
        .unwrap();

    assert_eq!((untyped.kind(), invalid.kind()), (ErrorKind::Invalid, ErrorKind::Invalid));
    assert_eq!(names(&sent.assert_published(1)[0]), []);
}

#[tokio::test(start_paused = true)]
async fn an_event_is_the_same_at_every_attempt_by_any_protocol() {
    for binding in BINDINGS {
        let (queue, seen) = (MemoryQueue::new("events"), Seen::default());
        let topic = ServiceBuilder::new().layer(WriteCloudEventsLayer::new(binding)).service(queue.topic());
        topic.publish(event().to_message(Binding::Generic, Mode::Binary).unwrap()).await.unwrap();

        let read = ReadCloudEventsLayer::new().binding(binding);
        serve(&queue, ServiceBuilder::new().layer(read).service(seen.failing(2))).await;

        seen.assert_same(3);
        assert_eq!(CloudEvent::from_message(&seen.messages()[0]).unwrap(), event(), "{binding:?}");
        assert_eq!(seen.messages()[0].attributes().get_str("ce-type"), Some("order.created"));
    }
}

fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| text.chars().filter(|c| !c.is_control()).collect())
}

fn required() -> impl Strategy<Value = String> {
    text().prop_filter("not empty", |text| !text.is_empty())
}

fn any_event() -> impl Strategy<Value = CloudEvent> {
    let uri = || "[a-z:/?#%0-9.-]{1,20}";
    let content_type = prop_oneof![
        Just("application/json"),
        Just("text/plain"),
        Just("application/octet-stream"),
        Just("application/order+json; v=1")
    ];
    let data = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        any::<f64>().prop_map(|number| number.to_string().into_bytes()),
        any::<String>().prop_map(String::into_bytes)
    ];
    let extensions = proptest::collection::btree_map("x[a-z0-9]{0,8}", text(), 0..4);
    (required(), uri(), required(), proptest::option::of(required()), content_type, data, extensions).prop_map(
        |(id, source, kind, subject, content_type, data, extensions)| {
            let mut event = CloudEvent::new(id, source, kind);
            if let Some(subject) = subject {
                event.set_subject(subject);
            }
            event.set_data(content_type, data);
            event.set_time(
                std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(1_789_000_000_123_456_789),
            );
            extensions.into_iter().for_each(|(name, value)| event.set_extension(name, value));
            event
        },
    )
}

proptest! {
    #[test]
    fn any_event_survives_any_binding_and_mode(event in any_event()) {
        for binding in BINDINGS {
            for mode in [Mode::Binary, Mode::Structured] {
                let message = event.to_message(binding, mode).unwrap();
                prop_assert_eq!(Mode::of(&message), Some(mode));
                let read = CloudEvent::from_message_of(&message, binding).unwrap();
                // White space around JSON is not part of it.
                let trimmed = event.clone().map_data(|data| data.trim_ascii().to_vec());
                let same = read == event || read.map_data(|data| data.trim_ascii().to_vec()) == trimmed;
                prop_assert!(same, "{:?} {:?}", binding, mode);
            }
        }
    }

    #[test]
    fn no_body_whatever_is_read_with_a_panic(body in any::<Vec<u8>>()) {
        let mut message = Message::new(body);
        message.attributes_mut().insert("content-type", "application/cloudevents+json");
        drop(CloudEvent::from_message(&message));
        message.attributes_mut().insert("content-type", "application/cloudevents-batch+json");
        drop(CloudEvent::read_batch(&message));
    }
}
