//! What a message is on the wire, both ways.

mod decode;
mod encode;

pub(crate) use decode::{Decoder, id_of};
pub(crate) use encode::Encoder;

use std::time::{Duration, SystemTime};

/// Begins the names of the attributes Pub/Sub adds when it forwards a message to a dead-letter topic.
pub(crate) const BURIED: &str = "CloudPubSubDeadLetterSource";
/// Stands for an empty body in a message that has nothing else, which Pub/Sub refuses.
const EMPTY: &str = "empty";

/// A time as milliseconds since 1970.
fn to_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970 as a time.
fn from_millis(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chappe_core::backend::DeadLetter;
    use chappe_core::{Attributes, Message, Value};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::limit::{MAX_ATTRIBUTES, MAX_KEY, MAX_NAME, MAX_VALUE};
    use crate::metadata::PubsubMetadata;
    use crate::proto::{Pair, PubsubMessage, ReceivedMessage};

    fn encoder() -> Encoder {
        let mut encoder = Encoder::new("orders".into());
        encoder.packer = encoder.packer.unordered(true);
        encoder
    }

    /// What Pub/Sub would hand out, by its rules: a map keeps no order.
    fn delivered(sent: &PubsubMessage) -> ReceivedMessage {
        let mut message = PubsubMessage::decode(sent.encode_to_vec().as_slice()).unwrap();
        assert!(!message.data.is_empty() || !message.attributes.is_empty(), "an empty message");
        assert!(message.attributes.len() <= MAX_ATTRIBUTES && message.ordering_key.len() <= MAX_KEY);
        message.attributes.sort_by(|left, right| right.key.cmp(&left.key));
        for Pair { key, value } in &message.attributes {
            assert!(!key.is_empty() && key.len() <= MAX_NAME && value.len() <= MAX_VALUE && !key.starts_with("goog"));
        }
        message.attributes.dedup_by(|left, right| left.key == right.key);
        assert_eq!(message.attributes.len(), sent.attributes.len(), "a name twice");
        message.message_id = "17".to_owned();
        ReceivedMessage { ack_id: "ack".to_owned(), message: Some(message), delivery_attempt: 0 }
    }

    fn received(sent: &PubsubMessage) -> Message {
        Decoder::new("orders".into()).decode(delivered(sent)).0
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<String>().prop_map(Value::from),
            "x{1000,1100}".prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            vec(any::<u8>(), 0..8).prop_map(|bytes| Value::Binary(Bytes::from(bytes))),
            Just(Value::Null),
        ]
    }

    fn message() -> impl Strategy<Value = Message> {
        let name = prop_oneof!["[a-cA-C]{1,2}", "goog[a-z]", "msg-attrs\\.[0-3]", any::<String>()];
        let body = prop_oneof![vec(any::<u8>(), 0..32), Just(Vec::new())];
        let key = prop_oneof![any::<String>().prop_map(Vec::from), vec(any::<u8>(), 0..9), vec(Just(7), 900..1200)];
        let attributes = prop_oneof![vec((name, value()), 0..16), vec(("[a-z]{2}", value()), 90..130)];
        (body, attributes, proptest::option::of(key)).prop_map(|(body, attributes, key)| {
            let mut message = Message::new(body);
            *message.attributes_mut() = attributes.into_iter().collect();
            key.into_iter().for_each(|key| message.set_key(key));
            message
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_message_survives(message in message()) {
            let arrived = received(&encoder().encode(&message).expect("it fits"));

            prop_assert_eq!(arrived.body(), message.body());
            prop_assert_eq!(arrived.key(), message.key());
            prop_assert_eq!(arrived.attributes(), message.attributes());
            prop_assert_eq!(&arrived.extensions().get::<PubsubMetadata>().unwrap().undecoded, &None);
        }
    }

    #[test]
    fn the_plainest_message_is_the_same_on_the_wire() {
        let mut message = Message::new("x");
        message.attributes_mut().insert("type", "order");
        message.set_key("k");

        let wire = encoder().encode(&message).unwrap();

        assert_eq!((&wire.data[..], wire.ordering_key.as_str()), (&b"x"[..], "k"));
        assert_eq!(wire.attributes, [Pair { key: "type".to_owned(), value: "order".to_owned() }]);
    }

    #[test]
    fn a_dead_letter_says_why_and_is_otherwise_the_same() {
        let mut message = Message::new("x");
        message.attributes_mut().insert("type", "order");
        message.set_id("m-1");
        let letter = DeadLetter::new("cannot be parsed\0", "orders", 3, from_millis(1_789_000_000_123));

        let arrived = received(&encoder().encode_dead(&message, &letter).unwrap());

        assert_eq!(arrived.extensions().get::<DeadLetter>(), Some(&letter));
        assert_eq!((arrived.body(), arrived.attributes()), (message.body(), message.attributes()));
        assert_eq!(arrived.extensions().get::<PubsubMetadata>().unwrap().publisher_id.as_deref(), Some("m-1"));
    }

    #[test]
    fn a_dead_letter_that_has_no_room_for_the_reason_goes_without() {
        let message = Message::new("x".repeat(crate::limit::MAX_BYTES - 8));
        let letter = DeadLetter::new("bad", "orders", 3, SystemTime::UNIX_EPOCH);

        assert!(encoder().encode_dead(&message, &letter).unwrap().attributes.is_empty());
    }

    #[test]
    fn what_pub_sub_buried_itself_is_a_dead_letter_too() {
        let pair = |key: &str, value: &str| Pair { key: key.to_owned(), value: value.to_owned() };
        let attributes = vec![
            pair("CloudPubSubDeadLetterSourceDeliveryCount", "5"),
            pair("CloudPubSubDeadLetterSourceSubscription", "orders"),
            pair("CloudPubSubDeadLetterSourceSubscriptionProject", "shop"),
            pair("type", "order"),
        ];
        let wire = PubsubMessage { data: "x".into(), attributes, ..PubsubMessage::default() };

        let arrived = received(&wire);

        let letter = arrived.extensions().get::<DeadLetter>().expect("it is one");
        assert_eq!((&*letter.source, letter.attempts), ("orders", 5));
        assert_eq!(arrived.attributes(), &Attributes::from([("type", "order")]));
    }

    #[test]
    fn what_cannot_be_unpacked_arrives_as_it_is_and_says_so() {
        let attributes = vec![Pair { key: "msg-attrs".to_owned(), value: "%%".to_owned() }];
        let wire = PubsubMessage { data: "x".into(), attributes, ..PubsubMessage::default() };

        let arrived = received(&wire);

        assert_eq!(arrived.attributes().get_str("msg-attrs"), Some("%%"));
        assert!(arrived.extensions().get::<PubsubMetadata>().unwrap().undecoded.is_some());
    }
}
