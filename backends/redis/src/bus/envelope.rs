//! The envelope of a message on the bus.
//!
//! It begins with a version, then who published it and which of its messages to this topic it is. Then come
//! flags and what they say is there: id, key and time of expiry; attributes, and the body. Numbers are LEB128,
//! texts and values have their length before them, times are nanoseconds since 1970.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::{Buf, BufMut, Bytes};
use chappe_core::attribute::Value;
use chappe_core::{Attributes, Message, MessageId, Str};

/// The first byte. One that is not known here is not guessed at.
const VERSION: u8 = 1;

const HAS_ID: u8 = 1;
const HAS_KEY: u8 = 2;
const HAS_EXPIRES: u8 = 4;

const TEXT: u8 = 0;
const NUMBER: u8 = 1;
const BINARY: u8 = 2;
const NULL: u8 = 3;

/// Who publishes: a handle and its clones. Chosen at random, so that processes need not agree.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin(u128);

/// Which message this is: the `seq`th of its origin to its topic, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) origin: Origin,
    pub(super) seq: u64,
}

impl Origin {
    pub(super) fn random() -> Self {
        Self(fastrand::u128(..))
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Mark {
    /// What a message is known by whose publisher gave it no id: the same for every subscriber.
    pub(super) fn id(self) -> MessageId {
        format!("{:?}.{}", self.origin, self.seq).into()
    }
}

/// The payload of a message.
pub(super) fn seal(mark: Mark, message: &Message, published: SystemTime) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + message.size_bytes());
    out.put_u8(VERSION);
    out.put_u128(mark.origin.0);
    put_number(&mut out, mark.seq);
    let (id, key, expires) = (message.id(), message.key(), message.expires());
    let flag = |present: bool, flag: u8| if present { flag } else { 0 };
    out.put_u8(flag(id.is_some(), HAS_ID) | flag(key.is_some(), HAS_KEY) | flag(expires.is_some(), HAS_EXPIRES));
    put_number(&mut out, nanos(published));
    if let Some(id) = id {
        put_bytes(&mut out, id.to_str().as_bytes());
    }
    if let Some(key) = key {
        put_bytes(&mut out, key.as_bytes());
    }
    if let Some(expires) = expires {
        put_number(&mut out, nanos(expires));
    }
    put_attributes(&mut out, message.attributes());
    out.put_slice(message.body());
    out
}

/// Reads a payload; `None` if it is none of ours.
pub(super) fn open(payload: Vec<u8>) -> Option<(Mark, Message)> {
    let mut rest = Bytes::from(payload);
    if rest.try_get_u8().ok()? != VERSION {
        return None;
    }
    let mark = Mark { origin: Origin(rest.try_get_u128().ok()?), seq: get_number(&mut rest)? };
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
    message.set_expires(expires);
    Some((mark, message))
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
    std::str::from_utf8(&bytes).ok().map(|text| Str::from(text.to_owned()))
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn get_number(rest: &mut Bytes) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = rest.try_get_u8().ok()?;
        let part = u64::from(byte & 0x7f);
        if part.leading_zeros() < shift {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
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

    const MARK: Mark = Mark { origin: Origin(7), seq: 300 };

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<String>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            vec(any::<u8>(), 0..40).prop_map(Value::from),
            Just(Value::Null),
        ]
    }

    #[test]
    fn what_others_publish_is_none_of_ours() {
        for payload in ["", "hello", "{\"a\":1}", "\u{1}", "\u{1}0123456789abcdef"] {
            assert!(open(payload.into()).is_none(), "{payload:?}");
        }
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
            at in 1..u64::MAX,
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

            let (mark, received) = open(seal(MARK, &message, time(at))).unwrap();

            prop_assert_eq!(mark, MARK);
            prop_assert_eq!(received.body(), message.body());
            prop_assert_eq!(received.attributes(), message.attributes());
            prop_assert_eq!(received.id().cloned(), message.id().cloned().or(Some(MARK.id())));
            prop_assert_eq!((received.key(), received.expires()), (message.key(), message.expires()));
            prop_assert_eq!(received.published(), Some(time(at)));
        }

        #[test]
        fn no_payload_makes_it_panic(mut payload in vec(any::<u8>(), 0..120)) {
            payload.insert(0, VERSION);
            let _ = open(payload);
        }

        #[test]
        fn a_cut_payload_is_none_of_ours(cut in 0_usize..60) {
            let mut message = Message::new("");
            message.set_id("a long enough id");
            let payload = seal(MARK, &message, time(1));

            prop_assert!(cut >= payload.len() || open(payload[..cut].to_vec()).is_none());
        }
    }
}
