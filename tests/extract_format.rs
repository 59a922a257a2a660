//! Bodies that are MessagePack or Protocol Buffers, and what becomes of a message whose body is not.
#![cfg(all(feature = "msgpack", feature = "protobuf", feature = "json"))]

use chappe::extract::{FromMessage, Json, MessagePack, Protobuf};
use chappe::{BoxError, Message, Outcome};
use prost::Message as _;

#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
struct Order {
    id: u64,
    note: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Invoice {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    note: String,
}

fn order() -> Order {
    Order { id: 7, note: Some("quick".to_owned()) }
}

fn invoice() -> Invoice {
    Invoice { id: 7, note: "quick".to_owned() }
}

async fn take<T: FromMessage<(), M>, M>(message: Message) -> Result<T, BoxError> {
    T::from_message(message, &()).await.map_err(Into::into)
}

async fn reason<T: FromMessage<(), M>, M>(message: Message) -> String {
    let Err(error) = take::<T, M>(message).await else { panic!("the argument should have been refused") };
    match Outcome::of_error(error.as_ref()) {
        Outcome::Reject(reason) => reason.to_string(),
        other => panic!("{other:?} is not a rejection"),
    }
}

fn marked(body: impl Into<Message>, name: &'static str, value: &'static str) -> Message {
    let mut message = body.into();
    message.attributes_mut().insert(name, value);
    message
}

#[tokio::test]
async fn messagepack_is_read_whether_it_names_its_fields_or_not() {
    for body in [rmp_serde::to_vec(&order()).unwrap(), rmp_serde::to_vec_named(&order()).unwrap()] {
        assert_eq!(take::<MessagePack<Order>, _>(Message::new(body)).await.unwrap().0, order());
    }
}

#[tokio::test]
async fn messagepack_that_is_something_else_is_rejected_without_being_quoted() {
    let body = rmp_serde::to_vec_named(&order()).unwrap();
    let cut = reason::<MessagePack<Order>, _>(Message::new(body[..body.len() - 1].to_vec())).await;
    let longer = reason::<MessagePack<Order>, _>(Message::new([&body[..], &[0xc0]].concat())).await;
    let wrong = rmp_serde::to_vec_named(&("hush", 1)).unwrap();
    let wrong = reason::<MessagePack<Order>, _>(Message::new(wrong)).await;
    let missing = reason::<MessagePack<Order>, _>(Message::new(vec![0x80])).await;

    assert!(cut.starts_with("body is not MessagePack of a `extract_format::Order`: "), "{cut}");
    assert!(cut.ends_with(": it is cut off") && longer.ends_with(": 1 bytes are behind its end"), "{cut}, {longer}");
    assert!(missing.ends_with(": missing field `id`"), "{missing}");
    assert!(!wrong.contains("hush"), "{wrong}");
}

#[tokio::test]
async fn a_protobuf_body_is_decoded() {
    let body = invoice().encode_to_vec();

    assert_eq!(take::<Protobuf<Invoice>, _>(Message::new(body)).await.unwrap().0, invoice());
    assert_eq!(take::<Protobuf<Invoice>, _>(Message::new("")).await.unwrap().0, Invoice::default());
}

#[tokio::test]
async fn a_body_that_is_no_protobuf_is_rejected_with_the_field() {
    let cut = reason::<Protobuf<Invoice>, _>(Message::new(vec![0x12, 5, b'h', b'u', b's'])).await;
    let kind = reason::<Protobuf<Invoice>, _>(Message::new(vec![0x0a, 1, b'h'])).await;
    let text = reason::<Protobuf<Invoice>, _>(Message::new(vec![0x12, 1, 0xff])).await;
    let key = reason::<Protobuf<Invoice>, _>(Message::new(vec![0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])).await;

    assert!(cut.starts_with("body is not Protocol Buffers of a `extract_format::Invoice`: "), "{cut}");
    assert!(kind.contains("Invoice.id: ") && text.contains("Invoice.note: "), "{kind}, {text}");
    assert!(!key.bytes().any(|byte| byte.is_ascii_digit()), "{key}");
}

#[tokio::test]
async fn a_content_type_of_the_format_or_none_is_taken_and_another_is_rejected() {
    let (pack, proto) = (rmp_serde::to_vec(&order()).unwrap(), invoice().encode_to_vec());
    for content_type in ["application/vnd.msgpack", "application/x-msgpack", "application/msgpack; v=1", "text/plain"] {
        let message = marked(pack.clone(), "Content-Type", content_type);
        assert!(take::<MessagePack<Order>, _>(message).await.is_ok(), "{content_type}");
    }
    for content_type in ["application/protobuf", "application/vnd.google.protobuf; proto=x", "application/octet-stream"]
    {
        let message = marked(proto.clone(), "Content-Type", content_type);
        assert!(take::<Protobuf<Invoice>, _>(message).await.is_ok(), "{content_type}");
    }

    let other = reason::<MessagePack<Order>, _>(marked(pack, "Content-Type", "application/json")).await;
    assert!(other.ends_with("its content type is \"application/json\""), "{other}");
    let other = reason::<Protobuf<Invoice>, _>(marked(proto, "Content-Type", "application/json")).await;
    assert!(other.ends_with("its content type is \"application/json\""), "{other}");
}

#[tokio::test]
async fn a_body_that_is_still_encoded_is_rejected_by_every_format() {
    let expected = "it is still encoded as \"gzip, base64\", a layer that decodes it is missing";
    let message = marked("{\"id\":7}", "Content-Encoding", "gzip, base64");

    assert!(reason::<Json<Order>, _>(message.clone()).await.ends_with(expected));
    assert!(reason::<MessagePack<Order>, _>(message.clone()).await.ends_with(expected));
    assert!(reason::<Protobuf<Invoice>, _>(message).await.ends_with(expected));
    let identity = marked("{\"id\":7}", "Content-Encoding", "identity");
    assert!(take::<Json<Order>, _>(identity).await.is_ok());
}
