//! What is around the ciphertext, and what it is bound to.

use chappe_core::{Attributes, Str, Value};

use crate::codec::CONTENT_ENCODING;

const VERSION: u8 = 1;

pub(super) const NONCE_BYTES: usize = 12;
pub(super) const TAG_BYTES: usize = 16;

/// The most names that can be bound, and the longest name: both are told in a byte.
pub(super) const MAX_NAMES: usize = 255;
pub(super) const MAX_NAME_BYTES: usize = 255;

/// An encrypted body, taken apart.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    /// All before the nonce.
    pub(super) header: &'a [u8],
    pub(super) key_id: &'a str,
    pub(super) bound: Vec<&'a str>,
    pub(super) nonce: &'a [u8; NONCE_BYTES],
    pub(super) ciphertext: &'a [u8],
    pub(super) tag: &'a [u8; TAG_BYTES],
}

impl<'a> Envelope<'a> {
    /// Takes a body apart; `None` if it is none.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (&version, rest) = body.split_first()?;
        if version != VERSION {
            return None;
        }
        let (key_id, rest) = split_text(rest)?;
        let (&count, mut rest) = rest.split_first()?;
        let mut bound = Vec::with_capacity(count.into());
        for _ in 0..count {
            let (name, behind) = split_text(rest)?;
            bound.push(name);
            rest = behind;
        }
        let header = &body[..body.len() - rest.len()];
        let (nonce, rest) = rest.split_first_chunk()?;
        let (ciphertext, tag) = rest.split_last_chunk()?;
        Some(Self { header, key_id, bound, nonce, ciphertext, tag })
    }
}

/// Writes all that is before the nonce.
pub(super) fn write_header(out: &mut Vec<u8>, key_id: &str, bound: &[Str]) {
    out.push(VERSION);
    write_text(out, key_id);
    out.push(u8::try_from(bound.len()).expect("names are counted when they are bound"));
    bound.iter().for_each(|name| write_text(out, name));
}

/// What the ciphertext is bound to: everything is led by its length or number, so that no two different
/// messages come to the same bytes.
///
/// Of a value only its bytes count, as some brokers make text of numbers.
pub(super) fn associated_data<'a>(
    header: &[u8],
    encodings: impl Iterator<Item = &'a str>,
    bound: impl Iterator<Item = &'a str>,
    attributes: &Attributes,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.len() + 64);
    out.extend_from_slice(header);
    write_bytes(&mut out, encodings.collect::<Vec<_>>().join(",").to_ascii_lowercase().as_bytes());
    for name in bound {
        let values = || attributes.iter().filter(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        write_number(&mut out, values().count());
        values().map(Value::as_bytes).for_each(|value| write_bytes(&mut out, value));
    }
    out
}

/// The encodings a message had when it was encrypted, of one that is or is not marked yet.
pub(super) fn encodings_below(attributes: &Attributes, marked: bool) -> impl Iterator<Item = &str> {
    let count = CONTENT_ENCODING.entries(attributes).count() - usize::from(marked);
    CONTENT_ENCODING.entries(attributes).take(count)
}

fn split_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(length.into())?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).expect("lengths are looked at when ids and names are given"));
    out.extend_from_slice(text.as_bytes());
}

fn write_number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_number(out, bytes.len());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_taken_apart_again() {
        let mut body = Vec::new();
        write_header(&mut body, "k1", &["type".into(), "é".into()]);
        let header = body.clone();
        body.extend_from_slice(&[7; NONCE_BYTES]);
        body.extend_from_slice(b"secret");
        body.extend_from_slice(&[9; TAG_BYTES]);

        let envelope = Envelope::parse(&body).unwrap();

        assert_eq!((envelope.header, envelope.key_id), (&header[..], "k1"));
        assert_eq!(envelope.bound, ["type", "é"]);
        assert_eq!((envelope.nonce, envelope.ciphertext), (&[7; NONCE_BYTES], &b"secret"[..]));
        assert_eq!(envelope.tag, &[9; TAG_BYTES]);
        assert!((0..header.len() + NONCE_BYTES + TAG_BYTES).all(|length| Envelope::parse(&body[..length]).is_none()));
    }

    #[test]
    fn attributes_that_differ_are_bound_differently() {
        let bind = |entries: &[(&'static str, &'static str)]| {
            let attributes = entries.iter().copied().collect();
            associated_data(b"", std::iter::empty(), ["a", "b"].into_iter(), &attributes)
        };
        let different = [
            bind(&[]),
            bind(&[("a", "")]),
            bind(&[("a", "1")]),
            bind(&[("b", "1")]),
            bind(&[("a", "1"), ("b", "")]),
            bind(&[("a", "1"), ("a", "2")]),
            bind(&[("a", "2"), ("A", "1")]),
            bind(&[("a", "12")]),
        ];

        for (at, left) in different.iter().enumerate() {
            assert!(different[..at].iter().all(|right| left != right), "{at}");
        }
        assert_eq!(bind(&[("A", "1"), ("x", "y")]), bind(&[("a", "1")]));
    }
}
