//! [`Encoder`], from a message to what is published.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chappe_core::attribute::{Packer, reserved};
use chappe_core::backend::DeadLetter;
use chappe_core::{Attributes, Error, ErrorKind, Message};

use super::{EMPTY, to_millis};
use crate::limit::{self, MAX_ATTRIBUTES, MAX_BYTES, MAX_VALUE, PART};
use crate::proto::{Pair, PubsubMessage};

/// Begins the ordering key of a message whose own key cannot be one; that travels in an attribute.
const HASHED: &str = "key-";

/// How messages are written.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    /// The topic, for the texts of errors.
    pub(crate) topic: Arc<str>,
    pub(crate) packer: Packer,
}

impl Encoder {
    pub(crate) fn new(topic: Arc<str>) -> Self {
        let packer = Packer::new(MAX_ATTRIBUTES, limit::fits).promote(["traceparent"]).unordered(false);
        Self { topic, packer }
    }

    /// Writes a message.
    pub(crate) fn encode(&self, message: &Message) -> Result<PubsubMessage, Error> {
        self.encode_with(message, &self.packer, None)
    }

    /// Writes a message for the dead letter. Must not fail for what was added: then it goes without.
    pub(crate) fn encode_dead(&self, message: &Message, letter: &DeadLetter) -> Result<PubsubMessage, Error> {
        let lenient = self.packer.clone().strict(false);
        match self.encode_with(message, &lenient, Some(letter)) {
            Err(error) if error.kind() == ErrorKind::TooLarge => self.encode_with(message, &lenient, None),
            other => other,
        }
    }

    fn encode_with(
        &self,
        message: &Message,
        packer: &Packer,
        letter: Option<&DeadLetter>,
    ) -> Result<PubsubMessage, Error> {
        let (ordering_key, key) = ordering_key(message);
        // Nearly no message needs an attribute of ours, and then none is copied.
        let extended = (key.is_some() || letter.is_some() || message.expires().is_some() || message.id().is_some())
            .then(|| with_reserved(message, key, letter));
        let mut pairs = pack(packer, extended.as_ref().unwrap_or(message.attributes()))?;
        if message.body().is_empty() && pairs.is_empty() {
            pairs.push(Pair { key: reserved::ENCODING.to_owned(), value: EMPTY.to_owned() });
        }
        let attributes: usize = pairs.iter().map(|pair| pair.key.len() + pair.value.len()).sum();
        let size = message.body().len() + attributes + ordering_key.len();
        if size > MAX_BYTES {
            let text = format!(
                "message is too large for topic {}: it takes {size} bytes, {attributes} of them attributes, the limit \
                 is {MAX_BYTES}; compress it, or keep large bodies elsewhere",
                self.topic
            );
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        Ok(PubsubMessage { data: message.body().clone(), attributes: pairs, ordering_key, ..PubsubMessage::default() })
    }
}

/// What is the ordering key; and the message's own, in base64, where that is another.
fn ordering_key(message: &Message) -> (String, Option<String>) {
    let Some(key) = message.key() else { return (String::new(), None) };
    match key.as_str() {
        Some(text) if limit::is_key(text) && !text.starts_with(HASHED) => (text.to_owned(), None),
        _ => (format!("{HASHED}{:032x}", hash(key.as_bytes())), Some(STANDARD.encode(key.as_bytes()))),
    }
}

/// The attributes, and what Pub/Sub has no field for.
fn with_reserved(message: &Message, key: Option<String>, letter: Option<&DeadLetter>) -> Attributes {
    let mut attributes = message.attributes().clone();
    if let Some(key) = key {
        attributes.append(reserved::KEY, key);
    }
    if let Some(id) = message.id() {
        attributes.append(reserved::ID, id.to_str());
    }
    if let Some(expires) = message.expires() {
        attributes.append(reserved::EXPIRES, to_millis(expires).to_string());
    }
    if let Some(letter) = letter {
        let end = (0..=MAX_VALUE.min(letter.reason.len())).rev().find(|&end| letter.reason.is_char_boundary(end));
        attributes.append(reserved::DEAD_REASON, letter.reason[..end.unwrap_or(0)].to_owned());
        attributes.append(reserved::DEAD_SOURCE, letter.source.to_string());
        attributes.append(reserved::DEAD_ATTEMPTS, letter.attempts.to_string());
        attributes.append(reserved::DEAD_AT, to_millis(letter.at).to_string());
    }
    attributes
}

/// Attributes as pairs. What is packed is cut into parts that are short enough, each of which takes the place of an
/// attribute.
fn pack(packer: &Packer, attributes: &Attributes) -> Result<Vec<Pair>, Error> {
    let mut taken = 0;
    loop {
        let packed = packer.pack(attributes, taken)?;
        let text = packed.text().unwrap_or_default();
        let parts = text.len().div_ceil(MAX_VALUE);
        let kept = packed.kept().count();
        if kept + parts > MAX_ATTRIBUTES {
            // What makes room is packed itself, so that this may take a few rounds.
            taken += kept + parts - MAX_ATTRIBUTES;
            continue;
        }
        let mut pairs = Vec::with_capacity(kept + parts);
        for (name, value) in packed.kept() {
            let value = value.as_str().expect("only texts fit").to_owned();
            pairs.push(Pair { key: name.as_str().to_owned(), value });
        }
        for (at, part) in text.as_bytes().chunks(MAX_VALUE).enumerate() {
            let key = if at == 0 { reserved::PACKED.to_owned() } else { format!("{PART}{at}") };
            let value = String::from_utf8(part.to_vec()).expect("base64 is ASCII");
            pairs.push(Pair { key, value });
        }
        return Ok(pairs);
    }
}

/// FNV-1a of 128 bits: the same in every process and version, which is all that is asked for.
fn hash(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}
