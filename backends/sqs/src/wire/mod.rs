//! What a message is on the wire, both ways.

mod attribute;
mod decode;
mod encode;
mod envelope;
mod pointer;

pub use envelope::Envelope;

pub(crate) use decode::{Decoded, Decoder};
pub(crate) use encode::{Encoder, Entry, fresh_id, whole_seconds};

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use aws_sdk_sqs::types::{Message as WireMessage, MessageSystemAttributeName as Name};
    use bytes::Bytes;
    use chappe_core::backend::DeadLetter;
    use chappe_core::{Attributes, Message, Value};
    use futures_util::FutureExt;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::SqsMetadata;
    use crate::target::Target;

    const URL: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs.fifo";

    fn encoder() -> Encoder {
        let mut encoder = Encoder::new(Target::new(URL, None));
        encoder.packer = encoder.packer.unordered(true);
        encoder
    }

    /// What SQS would hand out, by its rules.
    fn delivered(entry: Entry) -> WireMessage {
        assert!(!entry.body.is_empty() && entry.body.chars().all(crate::limit::is_text));
        let attributes = entry.attributes.unwrap_or_default();
        assert!(attributes.len() <= 10);
        let mut bytes = entry.body.len();
        for (name, value) in &attributes {
            let text = value.string_value().unwrap_or_default();
            let blob = value.binary_value().map_or(&[][..], AsRef::as_ref);
            assert!(text.is_empty() != blob.is_empty() && text.chars().all(crate::limit::is_text), "{name}: {value:?}");
            bytes += name.len() + value.data_type().len() + text.len() + blob.len();
        }
        assert_eq!(bytes, entry.bytes);
        let wire = WireMessage::builder().body(entry.body).set_message_attributes(Some(attributes));
        wire.attributes(Name::MessageGroupId, entry.group.expect("a FIFO queue has groups")).build()
    }

    fn received(wire: WireMessage) -> Message {
        let decoder = Decoder { source: "jobs.fifo".into(), envelope: Envelope::Auto, blobs: None };
        match decoder.decode(wire).now_or_never().expect("nothing is fetched") {
            Decoded::Message(message, _) => *message,
            Decoded::Left(why) => panic!("left because {why}"),
        }
    }

    fn sent(message: &mut Message) -> Entry {
        encoder().encode(message).now_or_never().expect("nothing is stored").expect("it fits")
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<String>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(|text| Value::Number(text.into())),
            vec(any::<u8>(), 0..8).prop_map(|bytes| Value::Binary(Bytes::from(bytes))),
            Just(Value::Null),
        ]
    }

    fn message() -> impl Strategy<Value = Message> {
        let name = prop_oneof!["[a-cA-C]{1,2}", "[a-z.]{1,4}", any::<String>()];
        let body = prop_oneof![vec(any::<u8>(), 0..32), any::<String>().prop_map(Vec::from)];
        let key = proptest::option::of(prop_oneof![any::<String>(), "[a-z-]{1,9}", Just("unkeyed-1".to_owned())]);
        (body, vec((name, value()), 0..16), key).prop_map(|(body, attributes, key)| {
            let mut message = Message::new(body);
            *message.attributes_mut() = attributes.into_iter().collect();
            key.into_iter().for_each(|key| message.set_key(key));
            message
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_message_survives(mut message in message()) {
            let arrived = received(delivered(sent(&mut message)));

            prop_assert_eq!(arrived.body(), message.body());
            prop_assert_eq!(arrived.key(), message.key());
            prop_assert_eq!(arrived.attributes(), message.attributes());
            prop_assert_eq!(&arrived.extensions().get::<SqsMetadata>().unwrap().undecoded, &None);
        }
    }

    #[test]
    fn a_dead_letter_says_why_and_is_otherwise_the_same() {
        let mut message = Message::new("x");
        *message.attributes_mut() = (0..10).map(|at| (format!("name{at}"), "1")).collect();
        message.set_id("m-1");
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_789_000_000_123);
        let letter = DeadLetter::new("cannot be parsed\0", "jobs.fifo", 3, at);

        let entry = encoder().encode_dead(&message, &letter).now_or_never().expect("nothing is stored").unwrap();
        let arrived = received(delivered(entry));

        assert_eq!(arrived.extensions().get::<DeadLetter>(), Some(&letter));
        assert_eq!((arrived.body(), arrived.attributes()), (message.body(), message.attributes()));
    }

    #[test]
    fn a_dead_letter_that_has_no_room_for_the_reason_goes_without() {
        let mut message = Message::new("x".repeat(crate::limit::MAX_BYTES - 8));
        message.set_id("m-1");
        let letter = DeadLetter::new("bad", "jobs.fifo", 3, SystemTime::UNIX_EPOCH);

        let entry = encoder().encode_dead(&message, &letter).now_or_never().expect("nothing is stored").unwrap();

        assert!(entry.attributes.is_none());
    }

    #[test]
    fn what_looks_like_an_envelope_arrives_as_it_was() {
        let body = r#"{"Type":"Notification","TopicArn":"arn:t","Message":"inner"}"#;
        let mut message = Message::new(body);

        let arrived = received(delivered(sent(&mut message)));

        assert_eq!((arrived.body(), arrived.attributes()), (&Bytes::from(body), &Attributes::new()));
    }
}
