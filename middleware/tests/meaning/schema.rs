use chappe::memory::MemoryQueue;
use chappe::testing::{Recorder, perform};
use chappe::{Error, ErrorKind, Message, Outcome, Topic};
use chappe_middleware::schema::{Schema, Schemas, ValidateLayer, ValidatePublishLayer};
use serde_json::json;
use tower::ServiceBuilder;
use tower_test::mock;

use crate::kit::{Seen, serve};

fn order() -> Schema {
    let line = json!({ "type": "object", "properties": { "count": { "type": "integer", "minimum": 1 } } });
    Schema::new(&json!({
        "type": "object",
        "required": ["lines"],
        "additionalProperties": false,
        "properties": { "lines": { "type": "array", "items": { "$ref": "#/$defs/line" } } },
        "$defs": { "line": line },
    }))
    .unwrap()
}

fn typed(kind: &'static str, body: &'static str) -> Message {
    let mut message = Message::new(body);
    message.attributes_mut().insert("type", kind);
    message
}

#[test]
fn a_fault_is_told_by_its_path_and_without_its_value() {
    for (body, text) in [
        (r#"{"lines":[{"count":1},{"count":"hush"}]}"#, "/lines/1/count: type"),
        (r#"{"hush":1}"#, "/: additionalProperties"),
        (r#"[]"#, "/: type"),
        (r#"{"lines":[{"count":0},{"count":0},{"count":0},{"count":0}]}"#, "/lines/2/count: minimum, and more"),
        ("{hush", "body is not JSON: fault at line 1 column 2"),
        ("", "body is not JSON: fault at line 1 column 0"),
    ] {
        let mismatch = order().check(body.as_bytes()).unwrap_err().to_string();
        assert!(mismatch.contains(text) && !mismatch.contains("hush"), "{mismatch}");
    }
    assert!(order().check(br#"{"lines":[]}"#).is_ok());
}

#[test]
fn a_schema_that_is_none_or_not_whole_is_refused() {
    for schema in [json!({ "type": "nothing" }), json!({ "$ref": "https://example.com/order.json" })] {
        assert!(Schema::new(&schema).is_err(), "{schema}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_match_does_not_reach_the_receiver() {
    let (mut receiver, mut handle) = mock::spawn_layer::<Message, (), _>(ValidateLayer::new(order()));
    handle.allow(1);
    assert!(receiver.poll_ready().is_ready());

    let error = receiver.call(Message::new(r#"{"lines":7}"#)).await.unwrap_err();

    let reason = "body does not match its schema: /lines: type";
    assert_eq!(Outcome::of_error(error.as_ref()), Outcome::reject(reason));
    assert!(tokio_test::task::spawn(handle.next_request()).poll().is_pending());
}

#[tokio::test]
async fn a_body_that_does_not_match_is_not_published_and_blames_nobody() {
    let sent = Recorder::new();
    let topic = ServiceBuilder::new().layer(ValidatePublishLayer::new(order())).service(sent.clone());

    let error: Error = topic.publish(r#"{"lines":7}"#).await.unwrap_err();
    topic.publish(r#"{"lines":[]}"#).await.unwrap();

    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Invalid, false));
    assert!(error.to_string().ends_with("/lines: type"), "{error}");
    assert_eq!(Outcome::of_error(&error), Outcome::Retry);
    sent.assert_published(1);
}

#[tokio::test]
async fn each_type_has_its_own_schema_and_others_pass_or_do_not() {
    let schemas = Schemas::by_attribute("type").with("order", order());
    let receiver =
        |schemas| ServiceBuilder::new().layer(ValidateLayer::new(schemas)).service(Seen::default().failing(0));

    let lenient = receiver(schemas.clone());
    perform(lenient.clone(), typed("order", "{}")).await.assert_rejected("/: required");
    perform(lenient.clone(), typed("note", "not JSON")).await.assert_acked();
    perform(lenient, "not JSON either").await.assert_acked();

    let strict = receiver(schemas.or_refuse());
    perform(strict.clone(), typed("order", r#"{"lines":[]}"#)).await.assert_acked();
    perform(strict.clone(), typed("note", "{}")).await.assert_rejected("attribute type is \"note\"");
    perform(strict, "{}").await.assert_rejected("without the attribute type");
}

#[tokio::test(start_paused = true)]
async fn a_valid_message_is_the_same_at_every_attempt_and_an_invalid_one_is_dead() {
    let ((queue, dead), seen) = (MemoryQueue::with_dead_letter("orders"), Seen::default());
    queue.topic().publish(r#"{"lines": [ {"count": 1} ]}"#).await.unwrap();
    queue.topic().publish(r#"{"lines": [ {"count": 0} ]}"#).await.unwrap();

    serve(&queue, ServiceBuilder::new().layer(ValidateLayer::new(order())).service(seen.failing(2))).await;

    seen.assert_same(3);
    assert_eq!(dead.messages()[0].body(), r#"{"lines": [ {"count": 0} ]}"#);
}
