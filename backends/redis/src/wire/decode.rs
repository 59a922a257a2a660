//! From the fields of an entry to a message.

use chappe_core::attribute::reserved;
use chappe_core::backend::DeadLetter;
use chappe_core::{Message, Value as Attribute};
use redis::Value;

use super::{BODY, EntryId, MARK, time};

/// What an entry is.
pub(crate) enum Decoded {
    /// A message.
    Message(Message),
    /// Nothing but a sign that something is due earlier than was known.
    Mark,
    /// Not written by us, or not intact; with what is wrong.
    Broken(String),
}

/// What stands beside the attributes.
#[derive(Default)]
struct Head {
    id: Option<String>,
    attempts: u32,
    kinds: Option<Vec<u8>>,
    reason: Option<String>,
    source: Option<String>,
    dead_attempts: u32,
    dead_at: u64,
}

/// Decodes an entry of this name, whose fields are names and values in turn.
pub(crate) fn decode(id: EntryId, name: String, fields: Vec<Value>) -> Decoded {
    match message(id, name, fields) {
        Ok(Some(message)) => Decoded::Message(message),
        Ok(None) => Decoded::Mark,
        Err(wrong) => Decoded::Broken(wrong),
    }
}

fn message(id: EntryId, name: String, fields: Vec<Value>) -> Result<Option<Message>, String> {
    let pairs = fields.len() / 2;
    let mut fields = fields.into_iter().map(bytes);
    let mut next = || fields.next().ok_or("it ends in the middle of a field")?.ok_or("a field is no string");
    let (first, body) = (next()?, next()?);
    if first == MARK && pairs == 1 {
        return Ok(None);
    }
    if first != BODY {
        return Err(format!("its first field is {:?} and not the body, b", String::from_utf8_lossy(&first)));
    }
    let mut message = Message::new(body);
    let mut head = Head::default();
    let mut attributes = Vec::with_capacity(pairs - 1);
    for _ in 1..pairs {
        let (name, value) = (next()?, next()?);
        let name = String::from_utf8(name).map_err(|_| "the name of a field is not UTF-8")?;
        match &*name {
            reserved::KEY => message.set_key(value),
            reserved::EXPIRES => message.set_expires(time(parsed(reserved::EXPIRES, value)?)),
            reserved::PACKED => head.kinds = Some(value),
            reserved::ID => head.id = Some(string(reserved::ID, value)?),
            reserved::ATTEMPT => head.attempts = parsed(reserved::ATTEMPT, value)?,
            reserved::DEAD_REASON => head.reason = Some(String::from_utf8_lossy(&value).into_owned()),
            reserved::DEAD_SOURCE => head.source = Some(String::from_utf8_lossy(&value).into_owned()),
            reserved::DEAD_ATTEMPTS => head.dead_attempts = parsed(reserved::DEAD_ATTEMPTS, value)?,
            reserved::DEAD_AT => head.dead_at = parsed(reserved::DEAD_AT, value)?,
            _ => attributes.push((name, value)),
        }
    }
    add(&mut message, attributes, head.kinds.as_deref())?;
    head.set(&mut message, id, name);
    Ok(Some(message))
}

fn add(message: &mut Message, attributes: Vec<(String, Vec<u8>)>, kinds: Option<&[u8]>) -> Result<(), String> {
    if attributes.is_empty() && kinds.is_none() {
        return Ok(());
    }
    if kinds.is_some_and(|kinds| kinds.len() != attributes.len()) {
        return Err(format!("{} has not one letter for each attribute", reserved::PACKED));
    }
    let added = message.attributes_mut();
    for (at, (name, value)) in attributes.into_iter().enumerate() {
        let value = match kinds.map_or(b't', |kinds| kinds[at]) {
            b't' => Attribute::Text(string(&name, value)?.into()),
            b'n' => Attribute::Number(string(&name, value)?.into()),
            b'b' => Attribute::Binary(value.into()),
            b'0' => Attribute::Null,
            letter => return Err(format!("{} has the unknown letter {letter}", reserved::PACKED)),
        };
        added.append(name, value);
    }
    Ok(())
}

impl Head {
    fn set(self, message: &mut Message, entry: EntryId, name: String) {
        // An id begins with the time, as those of entries do.
        let time_of = |id: &str| id.split_once('-').and_then(|(millis, _)| millis.parse().ok()).map(time);
        message.set_published(self.id.as_deref().and_then(time_of).unwrap_or_else(|| entry.time()));
        message.set_id(self.id.unwrap_or(name));
        message.set_attempt(self.attempts.saturating_add(1));
        if let Some(reason) = self.reason {
            let source = self.source.unwrap_or_default();
            let at = time(self.dead_at);
            message.extensions_mut().insert(DeadLetter::new(reason, source, self.dead_attempts, at));
        }
    }
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        Value::Okay => Some(b"OK".to_vec()),
        _ => None,
    }
}

fn string(name: &str, value: Vec<u8>) -> Result<String, String> {
    String::from_utf8(value).map_err(|_| format!("the value of {name} is not UTF-8"))
}

fn parsed<T: std::str::FromStr>(name: &str, value: Vec<u8>) -> Result<T, String> {
    string(name, value)?.parse().map_err(|_| format!("the value of {name} is no number"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;
    use crate::wire::Fields;

    fn decoded(fields: Vec<Value>) -> Decoded {
        decode(EntryId { millis: 1_789_000_000_123, sequence: 4 }, "1789000000123-4".to_owned(), fields)
    }

    fn strings(fields: &[&str]) -> Vec<Value> {
        fields.iter().map(|field| Value::BulkString(field.as_bytes().to_vec())).collect()
    }

    fn attribute() -> impl Strategy<Value = Attribute> {
        prop_oneof![
            ".{0,20}".prop_map(Attribute::from),
            any::<i64>().prop_map(Attribute::from),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Attribute::from),
            Just(Attribute::Null),
        ]
    }

    proptest! {
        #[test]
        fn any_message_survives(
            body in proptest::collection::vec(any::<u8>(), 0..300),
            attributes in proptest::collection::vec(("b|w|[a-zA-Zé]{1,3}", attribute()), 0..12),
            key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..10)),
            expires in proptest::option::of(0..u64::MAX / 2),
        ) {
            let mut message = Message::new(body);
            message.attributes_mut().extend(attributes);
            if let Some(key) = key {
                message.set_key(key);
            }
            message.set_expires(expires.map(|millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis)));

            let Decoded::Message(received) = decoded(Fields::of(&message).to_values()) else {
                panic!("{message:?} became something else")
            };

            prop_assert_eq!(received.body(), message.body());
            prop_assert_eq!(received.attributes(), message.attributes());
            prop_assert_eq!((received.key(), received.expires()), (message.key(), message.expires()));
        }

        #[test]
        fn no_entry_makes_the_decoder_panic(
            fields in proptest::collection::vec("b|w|msg-(attrs|attempt|expires|dead-at)|[0-9tnb]{0,4}", 0..9),
        ) {
            let fields: Vec<_> = fields.iter().map(String::as_str).collect();
            decoded(strings(&fields));
        }
    }

    #[test]
    fn what_somebody_else_wrote_is_told_from_a_message() {
        for (fields, wrong) in [
            (&["payload", "x"][..], "its first field is \"payload\""),
            (&[], "it ends in the middle"),
            (&["b", "x", "msg-attempt", "many"], "the value of msg-attempt is no number"),
            (&["b", "x", "msg-attrs", "tt", "a", "1"], "has not one letter for each"),
            (&["b", "x", "msg-attrs", "?", "a", "1"], "the unknown letter"),
        ] {
            let Decoded::Broken(text) = decoded(strings(fields)) else { panic!("{fields:?} was taken") };
            assert!(text.contains(wrong), "{text}");
        }
    }

    #[test]
    fn a_mark_is_no_message_and_an_attribute_of_its_name_is_no_mark() {
        assert!(matches!(decoded(strings(&["w", ""])), Decoded::Mark));
        assert!(matches!(decoded(strings(&["b", "", "w", ""])), Decoded::Message(_)));
    }

    #[test]
    fn a_copy_keeps_the_id_and_the_time_of_the_first() {
        let Decoded::Message(message) = decoded(strings(&["b", "", "msg-id", "1526919030474-55", "msg-attempt", "2"]))
        else {
            panic!("it is a message")
        };

        assert_eq!((message.id(), message.attempt()), (Some(&"1526919030474-55".into()), 3));
        assert_eq!(message.published(), Some(time(1_526_919_030_474)));
    }
}
