//! The text of a notification: a message in an envelope, or where the envelope is.
//!
//! `1` and the base64 of an envelope, or `2` and the base64 of a pointer to a row with the envelope. Both
//! begin with who published and which of its messages to this topic it is, so that no two payloads are
//! alike: the server delivers equal payloads of a transaction once. Numbers are LEB128, texts and values
//! have their length before them, times are nanoseconds since 1970.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::{Buf, BufMut, Bytes};
use chappe_core::attribute::Value;
use chappe_core::{Attributes, Message, MessageId, Str};

/// The longest payload of a notification in bytes, in a server with the usual pages of 8 KiB.
///
/// Source: <https://www.postgresql.org/docs/current/sql-notify.html>: "shorter than 8000 bytes".
pub(super) const MAX_PAYLOAD_BYTES: usize = 7_999;

const INLINE: char = '1';
const SPILLED: char = '2';

const HAS_ID: u8 = 1;
const HAS_KEY: u8 = 2;
const HAS_EXPIRES: u8 = 4;

const TEXT: u8 = 0;
const NUMBER: u8 = 1;
const BINARY: u8 = 2;
const NULL: u8 = 3;

/// Who publishes: a handle and its clones. Chosen at random, so that processes need not agree.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin([u8; 16]);

/// Which message this is: the `seq`th of its origin to its topic, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) origin: Origin,
    pub(super) seq: u64,
}

/// Where the envelope of a large message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    pub(super) mark: Mark,
    /// Which row of its origin.
    pub(super) row: u64,
    /// How long the envelope is.
    pub(super) bytes: u64,
}

/// A notification, read.
#[derive(Debug)]
pub(super) enum Received {
    Message(Mark, Message),
    Pointer(Pointer),
}

impl Origin {
    pub(super) fn random() -> Self {
        Self(fastrand::u128(..).to_be_bytes())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl Mark {
    /// What a message is known by whose publisher gave it no id: the same for every subscriber.
    pub(super) fn id(self) -> MessageId {
        format!("{:?}.{}", self.origin, self.seq).into()
    }

    fn put(self, out: &mut Vec<u8>) {
        out.put_slice(&self.origin.0);
        put_number(out, self.seq);
    }

    fn get(rest: &mut Bytes) -> Option<Self> {
        let mut origin = [0; 16];
        rest.try_copy_to_slice(&mut origin).ok()?;
        Some(Self { origin: Origin(origin), seq: get_number(rest)? })
    }
}

impl Pointer {
    /// The key of the row.
    pub(super) fn key(&self) -> Vec<u8> {
        [&self.mark.origin.0[..], &self.row.to_be_bytes()].concat()
    }

    pub(super) fn to_text(self) -> String {
        let mut out = Vec::with_capacity(40);
        self.mark.put(&mut out);
        put_number(&mut out, self.row);
        put_number(&mut out, self.bytes);
        text(SPILLED, &out)
    }
}

/// The envelope of a message, without its mark.
pub(super) fn seal(message: &Message, published: SystemTime) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + message.size_bytes());
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

/// The message of an envelope; `None` if it is none of ours.
pub(super) fn open(mark: Mark, envelope: Bytes) -> Option<Message> {
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

/// The payload with this envelope in it, if that is not too long.
pub(super) fn inline(mark: Mark, envelope: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(26 + envelope.len());
    mark.put(&mut out);
    out.put_slice(envelope);
    let length = 1 + base64::encoded_len(out.len(), false)?;
    (length <= MAX_PAYLOAD_BYTES).then(|| text(INLINE, &out))
}

/// Reads a payload; `None` if it is none of ours.
pub(super) fn read(payload: &str) -> Option<Received> {
    let (kind, encoded) = (payload.chars().next()?, payload.get(1..)?);
    if kind != INLINE && kind != SPILLED {
        return None;
    }
    let mut rest = Bytes::from(STANDARD_NO_PAD.decode(encoded).ok()?);
    let mark = Mark::get(&mut rest)?;
    if kind == INLINE {
        return open(mark, rest).map(|message| Received::Message(mark, message));
    }
    let pointer = Pointer { mark, row: get_number(&mut rest)?, bytes: get_number(&mut rest)? };
    rest.is_empty().then_some(Received::Pointer(pointer))
}

fn text(kind: char, bytes: &[u8]) -> String {
    let mut out = String::with_capacity(1 + bytes.len().div_ceil(3) * 4);
    out.push(kind);
    STANDARD_NO_PAD.encode_string(bytes, &mut out);
    out
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

    const MARK: Mark = Mark { origin: Origin([7; 16]), seq: 3 };

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<String>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            vec(any::<u8>(), 0..40).prop_map(Value::from),
            Just(Value::Null),
        ]
    }

    fn read_back(message: &Message, at: SystemTime) -> Message {
        let payload = inline(MARK, &seal(message, at)).unwrap();
        match read(&payload) {
            Some(Received::Message(MARK, message)) => message,
            other => panic!("read {other:?}"),
        }
    }

    #[test]
    fn a_message_without_an_id_is_known_by_its_mark() {
        let received = read_back(&Message::new(""), SystemTime::now());

        assert_eq!(received.id(), Some(&MARK.id()));
        assert_eq!(MARK.id().to_string(), "BwcHBwcHBwcHBwcHBwcHBw.3");
    }

    #[test]
    fn the_longest_payload_is_what_the_server_takes() {
        let fits = (5_000..6_000).rev().find(|&length| inline(MARK, &vec![0; length]).is_some()).unwrap();

        assert_eq!(fits, 5_981, "5 998 bytes less the mark");
        assert_eq!(inline(MARK, &vec![0; fits]).unwrap().len(), MAX_PAYLOAD_BYTES);
    }

    #[test]
    fn a_pointer_survives() {
        let pointer = Pointer { mark: Mark { origin: Origin::random(), seq: u64::MAX }, row: 1 << 40, bytes: 9_000 };

        let read = read(&pointer.to_text());

        assert!(matches!(read, Some(Received::Pointer(same)) if same == pointer), "{read:?}");
    }

    #[test]
    fn what_others_notify_is_none_of_ours() {
        for payload in
            ["", "1", "2", "hello", "1hello", "12", "{\"a\":1}", "größe", "3AAAA", "1AAAAAAAAAAAAAAAAAAAAAAA="]
        {
            assert!(read(payload).is_none(), "{payload:?}");
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
            at in any::<u64>(),
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

            let received = read_back(&message, time(at.max(1)));

            prop_assert_eq!(received.body(), message.body());
            prop_assert_eq!(received.attributes(), message.attributes());
            prop_assert_eq!(received.id().cloned(), message.id().cloned().or(Some(MARK.id())));
            prop_assert_eq!(received.key(), message.key());
            prop_assert_eq!(received.expires(), message.expires());
            prop_assert_eq!(received.published(), Some(time(at.max(1))));
        }

        #[test]
        fn no_payload_makes_it_panic(payload in "[12][A-Za-z0-9+/]{0,80}") {
            let _ = read(&payload);
        }

        #[test]
        fn a_cut_envelope_is_none_of_ours(cut in 0_usize..24) {
            let mut message = Message::new("");
            message.set_id("a long enough id");
            let envelope = seal(&message, time(1));

            prop_assert!(cut >= envelope.len() || open(MARK, envelope[..cut].to_vec().into()).is_none());
        }
    }
}
