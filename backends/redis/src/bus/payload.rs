//! The payload of a message on the bus: a version, the mark and the envelope.

use std::time::SystemTime;

use bytes::{Buf, BufMut, Bytes};
use chappe_core::Message;
use chappe_core::bus::{self, Mark};

/// The first byte. One that is not known here is not guessed at.
const VERSION: u8 = 1;

/// The payload of a message.
pub(super) fn seal(mark: Mark, message: &Message, published: SystemTime) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + message.size_bytes());
    out.put_u8(VERSION);
    mark.put(&mut out);
    bus::seal(message, published, &mut out);
    out
}

/// Reads a payload; `None` if it is none of ours.
pub(super) fn open(payload: Vec<u8>) -> Option<(Mark, Message)> {
    let mut rest = Bytes::from(payload);
    if rest.try_get_u8().ok()? != VERSION {
        return None;
    }
    let mark = Mark::get(&mut rest)?;
    bus::open(mark, rest).map(|message| (mark, message))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chappe_core::bus::Origin;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn mark() -> Mark {
        Mark { origin: Origin::from(7_u128.to_be_bytes()), seq: 300 }
    }

    fn time(nanos: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
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
        fn any_body_survives(body in vec(any::<u8>(), 0..300), at in 1..u64::MAX) {
            let (same, received) = open(seal(mark(), &Message::new(body.clone()), time(at))).unwrap();

            prop_assert_eq!(same, mark());
            prop_assert_eq!(&received.body()[..], body);
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
            let payload = seal(mark(), &message, time(1));

            prop_assert!(cut >= payload.len() || open(payload[..cut].to_vec()).is_none());
        }
    }
}
