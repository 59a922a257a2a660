//! Whatever attributes there are, they come out of a `Packer` as they went in.

use std::collections::BTreeMap;

use bytes::Bytes;
use chappe_core::attribute::{Misfit, Packer};
use chappe_core::{Attributes, Str, Value};
use proptest::collection::vec;
use proptest::prelude::*;

fn fits(name: &str, value: &Value) -> Result<(), Misfit> {
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match value {
        Value::Text(text) | Value::Number(text) if plain && !text.is_empty() => Ok(()),
        _ => Err("does not fit".into()),
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<String>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        vec(any::<u8>(), 0..8).prop_map(|bytes| Value::Binary(Bytes::from(bytes))),
        Just(Value::Null),
    ]
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let name = prop_oneof!["[a-cA-C]{1,2}", any::<String>()];
    vec((name, value()), 0..20).prop_map(|entries| entries.into_iter().collect())
}

fn kept(packer: &Packer, sent: &Attributes) -> (Vec<(Str, Value)>, Option<Bytes>, Option<String>) {
    let packed = packer.pack(sent, 0).expect("nothing is refused unless strict");
    let kept = packed.kept().map(|(name, value)| (name.clone(), value.clone())).collect();
    (kept, packed.bytes().cloned(), packed.text())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_broker_that_keeps_the_order_gives_everything_back(sent in attributes(), room in 1_usize..12) {
        let (kept, bytes, _) = kept(&Packer::new(room, fits), &sent);

        prop_assert!(kept.len() + usize::from(bytes.is_some()) <= room);
        prop_assert!(kept.iter().all(|(name, value)| fits(name, value).is_ok()));
        let mut received: Attributes = kept.into_iter().collect();
        if let Some(bytes) = bytes {
            received.unpack(&bytes).unwrap();
        }
        prop_assert_eq!(received, sent);
    }

    #[test]
    fn a_broker_with_a_map_gives_everything_back_if_the_order_is_kept(sent in attributes(), room in 1_usize..12) {
        let (kept, _, text) = kept(&Packer::new(room, fits).unordered(true), &sent);

        let count = kept.len();
        let map: BTreeMap<Str, Value> = kept.into_iter().collect();
        prop_assert_eq!(map.len(), count, "a map keeps one value of each name");
        // Backwards, as if hashed: the order on the wire must not matter.
        let mut received: Attributes = map.into_iter().rev().collect();
        received.sort();
        if let Some(text) = text {
            received.unpack(text.as_bytes()).unwrap();
        }
        prop_assert_eq!(received, sent);
    }

    #[test]
    fn a_broker_with_a_map_loses_nothing_but_the_order(sent in attributes(), room in 1_usize..12) {
        let (kept, bytes, _) = kept(&Packer::new(room, fits).unordered(false), &sent);

        let mut received: Attributes = kept.into_iter().collect();
        received.sort();
        match bytes {
            Some(bytes) => {
                received.unpack(&bytes).unwrap();
                prop_assert_eq!(received, sent);
            }
            None => {
                let mut sorted = sent.clone();
                sorted.sort();
                prop_assert_eq!(received, sorted);
            }
        }
    }

    #[test]
    fn no_bytes_make_unpacking_panic(bytes in vec(any::<u8>(), 0..64)) {
        let mut attributes = Attributes::from([("a", "1"), ("b", "2")]);
        let before = attributes.clone();
        let mut versioned = vec![1];
        versioned.extend(&bytes);

        for bytes in [bytes, versioned] {
            if attributes.unpack(&bytes).is_err() {
                prop_assert_eq!(&attributes, &before);
            }
            attributes = before.clone();
        }
    }
}
