use std::time::{Duration, SystemTime};

use chappe::event::{Emitter, Event, Payload, Wire};
use chappe::middleware::cloudevents::{Binding, Mode};
use chappe::testing::Recorder;
use chappe::{Message, Outcome};

/// As `json.Marshal` writes an event of the Go library.
const ENVELOPE: &str = r#"{"id":"0e7c6b2e-5d0f-4b7a-9a51-6f1f3a1f2b3c","name":"order.placed","meta":{"created_at_utc":"2022-03-04T05:06:07.123456789Z","correlation_id":"story","attempts":0,"is_dry_run":true},"payload":"eyJjaGFpcnMiOjN9"}"#;

const WIRES: [Wire; 6] = [
    Wire::Envelope,
    Wire::CloudEvents(Binding::Generic, Mode::Binary),
    Wire::CloudEvents(Binding::Kafka, Mode::Binary),
    Wire::CloudEvents(Binding::Amqp, Mode::Binary),
    Wire::CloudEvents(Binding::Sqs, Mode::Structured),
    Wire::CloudEvents(Binding::Pubsub, Mode::Structured),
];

/// What becomes of an event on its way.
async fn sent(wire: Wire, event: Event) -> Message {
    let recorder = Recorder::new();
    Emitter::new(recorder.clone()).wire(wire).emit_one(event).await.unwrap();
    recorder.messages().remove(0)
}

fn fault(body: &str) -> String {
    let error = Event::from_message(&Message::new(body.to_owned())).unwrap_err();
    assert!(matches!(Outcome::of_error(&error), Outcome::Reject(_)));
    Outcome::describe(&error)
}

#[tokio::test]
async fn an_envelope_of_the_go_library_is_read_and_written_byte_for_byte() {
    let event = Event::from_message(&Message::new(ENVELOPE)).unwrap();

    assert_eq!((event.id.as_str(), event.name.as_str()), ("0e7c6b2e-5d0f-4b7a-9a51-6f1f3a1f2b3c", "order.placed"));
    assert_eq!(event.meta.correlation_id.as_deref(), Some("story"));
    assert_eq!((event.meta.attempts, event.meta.is_dry_run), (0, true));
    assert_eq!(event.meta.created_at_utc, SystemTime::UNIX_EPOCH + Duration::new(1_646_370_367, 123_456_789));
    assert_eq!(event.payload.data(), r#"{"chairs":3}"#);
    assert_eq!(sent(Wire::Envelope, event).await.body(), ENVELOPE);
}

#[tokio::test]
async fn what_go_leaves_empty_is_read() {
    let nothing = r#"{"id":"1","name":"n","meta":{"created_at_utc":"0001-01-01T00:00:00Z","correlation_id":"","attempts":2,"is_dry_run":false},"payload":null}"#;
    // Go escapes these three, and another implementation need not.
    let escaped = ENVELOPE.replace("order.placed", r"\u003cb\u003e\u0026");

    let event = Event::from_message(&Message::new(nothing)).unwrap();
    let escaped = Event::from_message(&Message::new(escaped)).unwrap();

    assert_eq!((event.meta.correlation_id.clone(), event.meta.attempts), (None, 2));
    assert!(event.payload.data().is_empty());
    assert_eq!(escaped.name, "<b>&");
    assert!(
        sent(Wire::Envelope, event).await.body().windows(13).any(|part| part == br#""attempts":0,"#),
        "an event that is sent on says that it was not handled yet"
    );
}

#[test]
fn the_attempts_are_those_the_broker_counted() {
    let mut message = Message::new(ENVELOPE.replace(r#""attempts":0"#, r#""attempts":7"#));
    assert_eq!(Event::from_message(&message).unwrap().meta.attempts, 7);

    message.set_attempt(2);
    assert_eq!(Event::from_message(&message).unwrap().meta.attempts, 2);
}

#[test]
fn a_body_that_is_no_event_is_refused_and_never_an_empty_event() {
    for (body, part) in [
        ("", "EOF"),
        ("hush", "line 1"),
        ("{}", "missing field `id`"),
        (&ENVELOPE.replace("order.placed", ""), "empty id or name"),
        (&ENVELOPE.replace("2022-03-04T", "hush"), "created_at_utc"),
        (&ENVELOPE.replace("eyJj", "hush!"), "not base64"),
        (r#"{"specversion":"1.0","id":"1","source":"/"}"#, "empty type"),
        (r#"{"specversion":"1.0","id":"1","source":"/","type":"t","dryrun":"hush"}"#, "dryrun is neither"),
    ] {
        let text = fault(body);
        assert!(text.contains(part) && !text.contains("hush"), "{body}: {text}");
    }
}

#[tokio::test]
async fn any_event_survives_any_wire() {
    for wire in WIRES {
        for payload in [
            Payload::new(Some("application/json".into()), r#"{"price": 0.10000000000000000001}"#),
            Payload::new(Some("text/plain".into()), "caf\u{e9}"),
            Payload::new(Some("application/octet-stream".into()), vec![0, 255]),
            Payload::default(),
        ] {
            let mut event = Event::new("order.placed", payload);
            event.meta.correlation_id = Some("a story with an id of more than 24 bytes".into());
            event.meta.is_dry_run = true;

            let message = sent(wire, event.clone()).await;
            let mut read = Event::from_message(&message).unwrap();

            assert_eq!(message.id().unwrap().to_str().as_str(), event.id.as_str());
            if wire == Wire::Envelope {
                // It has no room for what the payload is.
                read.payload =
                    Payload::new(event.payload.content_type().map(|t| t.to_owned().into()), read.payload.into_data());
            }
            assert_eq!(read, event, "{wire:?}");
        }
    }
}

#[test]
fn a_rehearsal_stays_one_if_only_the_message_says_so() {
    let mut message = Message::new(ENVELOPE.replace("true", "false"));
    message.attributes_mut().insert("dry-run", "true");

    assert!(Event::from_message(&message).unwrap().meta.is_dry_run);
}

#[test]
fn debug_does_not_show_the_payload() {
    let event = Event::from_message(&Message::new(ENVELOPE)).unwrap();

    assert!(!format!("{event:?}").contains("chairs"));
}
