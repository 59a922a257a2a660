//! The envelope of a message: all of it but its [`Mark`], as bytes.
//!
//! Flags and what they say is there: the time of publication, id, key and time of expiry; attributes, and the
//! body. Numbers are LEB128, texts and values have their length before them, times are nanoseconds since 1970.

use std::time::{Duration, SystemTime};

use bytes::{Buf, BufMut, Bytes};

use super::{Mark, get_number, put_number};
use crate::attribute::Value;
use crate::{Attributes, Message, Str};

const HAS_ID: u8 = 1;
const HAS_KEY: u8 = 2;
const HAS_EXPIRES: u8 = 4;

const TEXT: u8 = 0;
const NUMBER: u8 = 1;
const BINARY: u8 = 2;
const NULL: u8 = 3;

/// Appends the envelope of a message.
pub fn seal(message: &Message, published: SystemTime, out: &mut Vec<u8>) {
    out.reserve(32 + message.size_bytes());
    let (id, key, expires) = (message.id(), message.key(), message.expires());
    let flag = |present: bool, flag: u8| if present { flag } else { 0 };
    out.put_u8(flag(id.is_some(), HAS_ID) | flag(key.is_some(), HAS_KEY) | flag(expires.is_some(), HAS_EXPIRES));
    put_number(out, nanos(published));
    if let Some(id) = id {
        put_bytes(out, id.to_str().as_bytes());
    }
    if let Some(key) = key {
        put_bytes(out, key.as_bytes());
    }
    if let Some(expires) = expires {
        put_number(out, nanos(expires));
    }
    put_attributes(out, message.attributes());
    out.put_slice(message.body());
}

/// The message of an envelope, which is known by its mark if it has no id; `None` if it is none of ours.
#[must_use]
pub fn open(mark: Mark, envelope: Bytes) -> Option<Message> {
    let mut rest = envelope;
    let flags = rest.try_get_u8().ok()?;
    if flags & !(HAS_ID | HAS_KEY | HAS_EXPIRES) != 0 {
        return None;
    }
    let published = time(get_number(&mut rest)?);
    let id = if flags & HAS_ID == 0 { mark.id() } else { get_text(&mut rest)?.into() };
    let key = if flags & HAS_KEY == 0 { None } else { Some(get_bytes(&mut rest)?) };
    let expires = if flags & HAS_EXPIRES == 0 { None } else { Some(time(get_number(&mut rest)?)) };
    let attributes = get_attributes(&mut rest)?;
    let mut message = Message::new(rest);
    *message.attributes_mut() = attributes;
    message.set_id(id);
    message.set_published(published);
    if let Some(key) = key {
        message.set_key(key);
    }
    if expires.is_some() {
        message.set_expires(expires);
    }
    Some(message)
}

fn put_attributes(out: &mut Vec<u8>, attributes: &Attributes) {
    put_number(out, attributes.len() as u64);
    for (name, value) in attributes {
        out.put_u8(match value {
            Value::Number(_) => NUMBER,
            Value::Binary(_) => BINARY,
            Value::Null => NULL,
            _ => TEXT,
        });
        put_bytes(out, name.as_bytes());
        put_bytes(out, value.as_bytes());
    }
}

fn get_attributes(rest: &mut Bytes) -> Option<Attributes> {
    let mut attributes = Attributes::new();
    for _ in 0..get_number(rest)? {
        let kind = rest.try_get_u8().ok()?;
        let name = get_text(rest)?;
        let value = match kind {
            TEXT => Value::Text(get_text(rest)?),
            NUMBER => Value::Number(get_text(rest)?),
            BINARY => Value::Binary(get_bytes(rest)?),
            NULL if get_bytes(rest)?.is_empty() => Value::Null,
            _ => return None,
        };
        attributes.append(name, value);
    }
    Some(attributes)
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.put_slice(bytes);
}

fn get_bytes(rest: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(get_number(rest)?).ok()?;
    (length <= rest.len()).then(|| rest.split_to(length))
}

fn get_text(rest: &mut Bytes) -> Option<Str> {
    let bytes = get_bytes(rest)?;
    std::str::from_utf8(&bytes).ok().map(Str::new)
}

/// Times before 1970 and after 2554 are taken for these.
fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn time(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::bus::Origin;

    fn mark() -> Mark {
        Mark { origin: Origin::from([7; 16]), seq: 300 }
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<String>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            vec(any::<u8>(), 0..40).prop_map(Value::from),
            Just(Value::Null),
        ]
    }

    #[test]
    fn what_has_flags_nobody_knows_is_none_of_ours() {
        let mut envelope = Vec::new();
        seal(&Message::new("body"), SystemTime::UNIX_EPOCH, &mut envelope);
        envelope[0] |= 8;

        assert!(open(mark(), envelope.into()).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_message_survives(
            body in vec(any::<u8>(), 0..300),
            attributes in vec(("[a-zA-Z é]{1,9}", value()), 0..6),
            id in proptest::option::of(any::<String>()),
            key in proptest::option::of(vec(any::<u8>(), 0..20)),
            expires in proptest::option::of(any::<u64>()),
            at: u64,
        ) {
            let mut message = Message::new(body);
            message.attributes_mut().extend(attributes);
            message.set_expires(expires.map(time));
            if let Some(id) = id {
                message.set_id(id);
            }
            if let Some(key) = key {
                message.set_key(key);
            }

            let mut envelope = Vec::new();
            seal(&message, time(at), &mut envelope);
            let received = open(mark(), envelope.into()).unwrap();

            prop_assert_eq!((received.body(), received.attributes()), (message.body(), message.attributes()));
            prop_assert_eq!((received.key(), received.expires()), (message.key(), message.expires()));
            prop_assert_eq!(received.id().cloned(), message.id().cloned().or(Some(mark().id())));
            prop_assert_eq!(received.published(), Some(time(at)));
        }

        #[test]
        fn one_that_is_cut_off_is_none_of_ours(cut in 0_usize..24) {
            let (mut message, mut envelope) = (Message::new(""), Vec::new());
            message.set_id("a long enough id");
            seal(&message, time(1), &mut envelope);

            prop_assert!(cut >= envelope.len() || open(mark(), envelope[..cut].to_vec().into()).is_none());
        }

        #[test]
        fn no_envelope_makes_it_panic(envelope in vec(any::<u8>(), 0..120)) {
            let _ = open(mark(), envelope.into());
        }
    }
}
