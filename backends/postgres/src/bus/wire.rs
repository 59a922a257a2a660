//! The text of a notification: a message in an envelope, or where the envelope is.
//!
//! `1` and the base64 of an envelope, or `2` and the base64 of a pointer to a row with the envelope. Both
//! begin with the message's mark, so that no two payloads are alike: the server delivers equal payloads of a
//! transaction once.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{BufMut, Bytes};
use chappe_core::Message;
use chappe_core::bus::{Mark, get_number, open, put_number};

/// The longest payload of a notification in bytes, in a server with the usual pages of 8 KiB.
///
/// Source: <https://www.postgresql.org/docs/current/sql-notify.html>: "shorter than 8000 bytes".
pub(super) const MAX_PAYLOAD_BYTES: usize = 7_999;

const INLINE: char = '1';
const SPILLED: char = '2';

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

impl Pointer {
    /// The key of the row.
    pub(super) fn key(&self) -> Vec<u8> {
        [&self.mark.origin.as_bytes()[..], &self.row.to_be_bytes()].concat()
    }

    pub(super) fn to_text(self) -> String {
        let mut out = Vec::with_capacity(40);
        self.mark.put(&mut out);
        put_number(&mut out, self.row);
        put_number(&mut out, self.bytes);
        text(SPILLED, &out)
    }
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use chappe_core::bus::{Origin, seal};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn mark() -> Mark {
        Mark { origin: Origin::from([7; 16]), seq: 3 }
    }

    fn time(nanos: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
    }

    fn sealed(message: &Message, at: SystemTime) -> Vec<u8> {
        let mut out = Vec::new();
        seal(message, at, &mut out);
        out
    }

    fn read_back(message: &Message, at: SystemTime) -> Message {
        let payload = inline(mark(), &sealed(message, at)).unwrap();
        match read(&payload) {
            Some(Received::Message(same, message)) if same == mark() => message,
            other => panic!("read {other:?}"),
        }
    }

    #[test]
    fn a_message_without_an_id_is_known_by_its_mark() {
        let received = read_back(&Message::new(""), SystemTime::now());

        assert_eq!(received.id(), Some(&mark().id()));
        assert_eq!(mark().id().to_string(), "BwcHBwcHBwcHBwcHBwcHBw.3");
    }

    #[test]
    fn the_longest_payload_is_what_the_server_takes() {
        let fits = (5_000..6_000).rev().find(|&length| inline(mark(), &vec![0; length]).is_some()).unwrap();

        assert_eq!(fits, 5_981, "5 998 bytes less the mark");
        assert_eq!(inline(mark(), &vec![0; fits]).unwrap().len(), MAX_PAYLOAD_BYTES);
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
        fn any_body_survives(body in vec(any::<u8>(), 0..300), at in 1..u64::MAX) {
            let received = read_back(&Message::new(body.clone()), time(at));

            prop_assert_eq!(&received.body()[..], body);
            prop_assert_eq!(received.published(), Some(time(at)));
        }

        #[test]
        fn no_payload_makes_it_panic(payload in "[12][A-Za-z0-9+/]{0,80}") {
            let _ = read(&payload);
        }
    }
}
