//! What arguments hold, and what becomes of a message they cannot be taken from.

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chappe::extract::{
    Attempt, Attr, AttrRejection, Extension, FromMessage, FromMessageParts, FromRef, Json, JsonRejection, Missing,
    PublishedAt, Source, State, Type, TypedAttribute,
};
use chappe::{Attributes, BoxError, Cancelled, Handler, Key, Lease, LeaseControl, Message, MessageId, Outcome, Value};
use tokio::sync::Notify;
use tower::ServiceExt;

#[derive(Debug, PartialEq)]
struct Tenant(u32);

impl FromStr for Tenant {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl TypedAttribute for Tenant {
    const NAME: &'static str = "tenant";
}

#[derive(Clone, Debug, PartialEq)]
struct Note(&'static str);

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Order {
    id: u64,
}

/// Takes one argument the way a handler does.
async fn take<T: FromMessage<(), M>, M>(message: Message) -> Result<T, BoxError> {
    T::from_message(message, &()).await.map_err(Into::into)
}

/// What the server would do with the message, by the error of its argument.
async fn refusal<T: FromMessage<(), M>, M>(message: Message) -> Outcome {
    match take::<T, M>(message).await {
        Ok(_) => panic!("the argument should have been refused"),
        Err(error) => Outcome::of_error(error.as_ref()),
    }
}

fn with_attribute(name: &'static str, value: impl Into<Value>) -> Message {
    let mut message = Message::new("");
    message.attributes_mut().insert(name, value);
    message
}

fn reason(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Reject(reason) => reason,
        other => panic!("{other:?} is not a rejection"),
    }
}

#[tokio::test]
async fn the_body_is_had_as_it_is_as_text_and_as_json() {
    let message = Message::new(r#"{"id":7}"#);

    assert_eq!(take::<Bytes, _>(message.clone()).await.unwrap(), r#"{"id":7}"#);
    assert_eq!(take::<String, _>(message.clone()).await.unwrap(), r#"{"id":7}"#);
    assert_eq!(take::<Json<Order>, _>(message.clone()).await.unwrap().0, Order { id: 7 });
    assert_eq!(take::<Message, _>(message).await.unwrap().body(), r#"{"id":7}"#);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_rejected_without_being_quoted() {
    let outcome = refusal::<Json<Order>, _>(Message::new(r#"{"id":"hush"}"#)).await;

    let expected = "body is not JSON of a `extract::Order`: expected u64, not string at line 1 column 12";
    assert_eq!(reason(&outcome), expected);
}

#[tokio::test]
async fn no_error_of_an_argument_shows_the_body() {
    let error = take::<Json<Order>, _>(Message::new(r#"{"id":"hush"}"#)).await.unwrap_err();

    assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    let mut next = Some(&*error as &dyn std::error::Error);
    while let Some(error) = next {
        assert!(!error.to_string().contains("hush"), "{error}");
        next = error.source();
    }
}

#[tokio::test]
async fn a_content_type_that_names_another_format_is_rejected() {
    let mut message = Message::new(r#"{"id":7}"#);
    message.attributes_mut().insert("Content-Type", "application/protobuf");

    let outcome = refusal::<Json<Order>, _>(message.clone()).await;
    message.attributes_mut().insert("Content-Type", "application/cloudevents+json; charset=utf-8");

    assert!(reason(&outcome).ends_with("its content type is \"application/protobuf\""), "{outcome:?}");
    assert!(take::<Json<Order>, _>(message).await.is_ok());
}

#[tokio::test]
async fn a_body_that_is_not_utf8_is_no_text() {
    let outcome = refusal::<String, _>(Message::new(vec![b'a', 0xff])).await;

    assert_eq!(reason(&outcome), "body is not UTF-8 text: invalid utf-8 sequence of 1 bytes from index 1");
}

#[tokio::test]
async fn an_attribute_is_parsed_whatever_the_case_of_its_name() {
    let message = with_attribute("Tenant", 7);

    assert_eq!(take::<Attr<Tenant>, _>(message.clone()).await.unwrap().0, Tenant(7));
    assert_eq!(take::<Option<Attr<Tenant>>, _>(message).await.unwrap().unwrap().0, Tenant(7));
    assert!(take::<Option<Attr<Tenant>>, _>(Message::new("")).await.unwrap().is_none());
}

#[tokio::test]
async fn an_attribute_that_is_missing_or_wrong_is_rejected_with_what_came() {
    let missing = refusal::<Attr<Tenant>, _>(Message::new("")).await;
    let wrong = refusal::<Option<Attr<Tenant>>, _>(with_attribute("tenant", "x1")).await;
    let binary = refusal::<Attr<Tenant>, _>(with_attribute("tenant", vec![1, 2])).await;
    let null = refusal::<Attr<Tenant>, _>(with_attribute("tenant", Value::Null)).await;

    let what = "attribute tenant is not a `extract::Tenant`";
    assert_eq!(reason(&missing), format!("{what}: the message has no such attribute"));
    assert_eq!(reason(&wrong), format!("{what}: \"x1\" does not parse: invalid digit found in string"));
    assert_eq!(reason(&binary), format!("{what}: it is 2 bytes, not text"));
    assert_eq!(reason(&null), format!("{what}: it has no value"));
}

#[tokio::test]
async fn a_long_attribute_is_shown_in_part() {
    let outcome = refusal::<Attr<Tenant>, _>(with_attribute("tenant", "é".repeat(1000))).await;

    assert!(reason(&outcome).len() < 300, "{} bytes", reason(&outcome).len());
}

#[tokio::test]
async fn what_is_known_of_a_message_is_had_in_pieces() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
    let mut message = with_attribute("ce-type", "order.created");
    message.set_key("room-1");
    message.set_id("m-1");
    message.set_attempt(3);
    message.set_published(at);
    message.set_source("orders");

    let pieces = take::<(Attributes, Attempt, MessageId, Key, PublishedAt, Source, Type), _>(message.clone());
    let (attributes, attempt, id, key, published, source, kind) = pieces.await.unwrap();

    assert_eq!(&attributes, message.attributes());
    assert_eq!((attempt.0, id.to_str().as_str(), key.as_str()), (3, "m-1", Some("room-1")));
    assert_eq!((published.0, &*source.0, kind.0.as_str()), (at, "orders", "order.created"));
}

#[tokio::test]
async fn what_the_publisher_left_out_is_rejected() {
    assert_eq!(reason(&refusal::<Key, _>(Message::new("")).await), "message has no key: its publisher set none");
    assert!(reason(&refusal::<Type, _>(Message::new("")).await).starts_with("message has no type"));
}

#[tokio::test]
async fn what_others_left_out_is_retried() {
    assert_eq!(refusal::<MessageId, _>(Message::new("")).await, Outcome::Retry);
    assert_eq!(refusal::<Source, _>(Message::new("")).await, Outcome::Retry);
    assert_eq!(refusal::<PublishedAt, _>(Message::new("")).await, Outcome::Retry);
    assert_eq!(refusal::<Lease, _>(Message::new("")).await, Outcome::Retry);
    assert_eq!(refusal::<Extension<Note>, _>(Message::new("")).await, Outcome::Retry);
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let error = take::<Extension<Note>, _>(Message::new("")).await.unwrap_err();

    assert_eq!(error.to_string(), "message has no extension `extract::Note`");
    assert!(error.is::<Missing>());
}

#[tokio::test]
async fn what_may_be_missing_is_none() {
    type All = (Option<Key>, Option<MessageId>, Option<Source>, Option<PublishedAt>, Option<Type>, Option<Lease>);

    let (key, id, source, published, kind, lease) = take::<All, _>(Message::new("")).await.unwrap();

    assert!(key.is_none() && id.is_none() && source.is_none());
    assert!(published.is_none() && kind.is_none() && lease.is_none());
    assert!(take::<Option<Extension<Note>>, _>(Message::new("")).await.unwrap().is_none());
}

#[tokio::test]
async fn an_extension_is_had_by_its_type() {
    let mut message = Message::new("");
    message.extensions_mut().insert(Note("layer"));

    assert_eq!(take::<Extension<Note>, _>(message).await.unwrap().0, Note("layer"));
}

#[tokio::test]
async fn a_lease_is_the_one_the_server_handed_over() {
    let control = &mut LeaseControl::new(Arc::new(Notify::new()));
    let mut message = Message::new("");
    message.set_lease(Some(control.begin(1, None)));

    let lease = take::<Lease, _>(message).await.unwrap();
    control.cancel(1, Cancelled::Shutdown);

    assert_eq!(lease.cancelled().await, Cancelled::Shutdown);
}

#[tokio::test]
async fn a_result_leaves_the_decision_to_the_handler() {
    async fn lenient(order: Result<Json<Order>, JsonRejection>) -> Outcome {
        if order.is_ok() { Outcome::Ack } else { Outcome::RetryAfter(Duration::from_secs(1)) }
    }

    async fn strict(tenant: Result<Attr<Tenant>, AttrRejection>) -> Result<(), BoxError> {
        tenant?;
        Ok(())
    }

    let outcome = lenient.with_state(()).oneshot(Message::new("x")).await;
    let error = strict.with_state(()).oneshot(Message::new("x")).await.unwrap_err();

    assert_eq!(outcome.unwrap(), Outcome::RetryAfter(Duration::from_secs(1)));
    assert!(matches!(Outcome::of_error(error.as_ref()), Outcome::Reject(_)));
}

#[tokio::test]
async fn a_tuple_fails_as_the_first_that_fails() {
    let outcome = refusal::<(Attempt, Key, Json<Order>), _>(Message::new("x")).await;

    assert!(reason(&outcome).starts_with("message has no key"), "{outcome:?}");
}

#[tokio::test]
async fn a_piece_of_the_state_is_had_by_its_type() {
    #[derive(Clone)]
    struct App {
        note: Note,
    }

    impl FromRef<App> for Note {
        fn from_ref(app: &App) -> Self {
            app.note.clone()
        }
    }

    async fn handler(State(app): State<App>, State(note): State<Note>) -> Outcome {
        assert_eq!(app.note, note);
        Outcome::reject(note.0)
    }

    let outcome = handler.with_state(App { note: Note("piece") }).oneshot(Message::new("")).await;

    assert_eq!(outcome.unwrap(), Outcome::reject("piece"));
}

#[tokio::test]
async fn an_argument_sees_what_one_before_it_left() {
    struct Leave;
    impl<S: Sync> FromMessageParts<S> for Leave {
        type Rejection = std::convert::Infallible;

        async fn from_message_parts(message: &mut Message, _: &S) -> Result<Self, Self::Rejection> {
            tokio::task::yield_now().await;
            message.extensions_mut().insert(Note("left"));
            Ok(Self)
        }
    }

    async fn handler(_: Leave, Extension(note): Extension<Note>, _body: Bytes) -> Outcome {
        Outcome::reject(note.0)
    }

    assert_eq!(handler.with_state(()).oneshot(Message::new("")).await.unwrap(), Outcome::reject("left"));
}
