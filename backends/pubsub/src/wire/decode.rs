//! [`Decoder`], from what Pub/Sub delivers to a message.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chappe_core::attribute::reserved;
use chappe_core::backend::DeadLetter;
use chappe_core::{Attributes, Error, Key, Message, MessageId, Value};

use super::{BURIED, EMPTY, from_millis};
use crate::limit::PART;
use crate::metadata::PubsubMetadata;
use crate::proto::{Pair, ReceivedMessage, Timestamp};

/// How messages are read.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    source: Arc<str>,
}

impl Decoder {
    pub(crate) fn new(source: Arc<str>) -> Self {
        Self { source }
    }

    /// Reads a message, and what settles it. What cannot be decoded is handed out as it is, and its metadata say why.
    pub(crate) fn decode(&self, received: ReceivedMessage) -> (Message, String) {
        let ReceivedMessage { ack_id, message: wire, delivery_attempt } = received;
        let wire = wire.unwrap_or_default();
        let mut metadata = PubsubMetadata {
            delivery_attempt: u32::try_from(delivery_attempt).ok().filter(|attempt| *attempt > 0),
            ordering_key: (!wire.ordering_key.is_empty()).then(|| wire.ordering_key.as_str().into()),
            ..PubsubMetadata::default()
        };
        let published = wire.publish_time.and_then(time_of);
        let mut message = Message::new(wire.data);
        // Most messages have no attribute of anybody's but their publisher.
        let special = |pair: &Pair| pair.key.starts_with("msg-") || pair.key.starts_with(BURIED);
        let odd = wire.attributes.iter().any(special);
        let mut attributes: Attributes = wire.attributes.into_iter().map(|pair| (pair.key, pair.value)).collect();
        attributes.sort();
        let mut key = None;
        if odd {
            match unpack(&attributes) {
                Ok(unpacked) => attributes = unpacked.unwrap_or(attributes),
                Err(error) => metadata.undecoded = Some(error.to_string().into()),
            }
            key = read_reserved(&mut attributes, &mut message, &mut metadata, published);
        }
        if !attributes.is_empty() {
            *message.attributes_mut() = attributes;
        }
        match key {
            Some(key) => message.set_key(key),
            None if !wire.ordering_key.is_empty() => message.set_key(wire.ordering_key),
            None => {}
        }
        if !wire.message_id.is_empty() {
            message.set_id(id_of(wire.message_id));
        }
        message.set_source(Arc::clone(&self.source));
        published.into_iter().for_each(|time| message.set_published(time));
        message.extensions_mut().insert(metadata);
        (message, ack_id)
    }
}

/// What was packed put back; `None` if nothing was.
fn unpack(attributes: &Attributes) -> Result<Option<Attributes>, Error> {
    let Some(first) = attributes.get_exact(reserved::PACKED) else { return Ok(None) };
    let mut text = first.as_bytes().to_vec();
    let mut rest = attributes.clone();
    rest.remove(reserved::PACKED);
    for at in 1.. {
        match rest.remove(&format!("{PART}{at}")) {
            Some(part) => text.extend_from_slice(part.as_bytes()),
            None => break,
        }
    }
    rest.unpack(&text)?;
    Ok(Some(rest))
}

/// Takes out what is not the publisher's, and answers with the key if it was among it.
fn read_reserved(
    attributes: &mut Attributes,
    message: &mut Message,
    metadata: &mut PubsubMetadata,
    published: Option<SystemTime>,
) -> Option<Key> {
    if message.body().is_empty() && attributes.get_exact(reserved::ENCODING).is_some_and(|value| *value == EMPTY) {
        attributes.remove(reserved::ENCODING);
    }
    if let Some(expires) = take_number(attributes, reserved::EXPIRES) {
        message.set_expires(from_millis(expires));
    }
    metadata.publisher_id = take_text(attributes, reserved::ID).map(Into::into);
    let google = buried(attributes, published);
    if let Some(letter) = dead_letter(attributes).or(google) {
        message.extensions_mut().insert(letter);
    }
    let key = attributes.get_exact(reserved::KEY).and_then(|text| STANDARD.decode(text.as_bytes()).ok())?;
    attributes.remove(reserved::KEY);
    Some(Key::from(key))
}

fn dead_letter(attributes: &mut Attributes) -> Option<DeadLetter> {
    let attempts = take_number(attributes, reserved::DEAD_ATTEMPTS);
    let at = take_number(attributes, reserved::DEAD_AT);
    let (reason, source) = (take_text(attributes, reserved::DEAD_REASON), take_text(attributes, reserved::DEAD_SOURCE));
    let attempts = attempts.and_then(|attempts| u32::try_from(attempts).ok()).unwrap_or(0);
    Some(DeadLetter::new(reason?, source?, attempts, from_millis(at?)))
}

/// What Pub/Sub says of a message that it forwarded itself, by its dead-letter policy.
fn buried(attributes: &mut Attributes, published: Option<SystemTime>) -> Option<DeadLetter> {
    let names: Vec<_> =
        attributes.iter().map(|(name, _)| name).filter(|name| name.starts_with(BURIED)).cloned().collect();
    let mut said = |what: &str| {
        let name = names.iter().find(|name| name[BURIED.len()..] == *what)?;
        take_text(attributes, name)
    };
    let (count, source, error) = (said("DeliveryCount"), said("Subscription"), said("DeliveryErrorMessage"));
    names.iter().for_each(|name| drop(attributes.remove(name)));
    let attempts = count.and_then(|count| count.parse().ok()).unwrap_or(0);
    let reason = error.unwrap_or_else(|| format!("Pub/Sub has delivered it {attempts} times"));
    Some(DeadLetter::new(reason, source?, attempts, published.unwrap_or_else(SystemTime::now)))
}

fn take_text(attributes: &mut Attributes, name: &str) -> Option<String> {
    match attributes.remove(name)? {
        Value::Text(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

fn take_number(attributes: &mut Attributes, name: &str) -> Option<u64> {
    take_text(attributes, name)?.parse().ok()
}

/// Pub/Sub's ids are numbers, which take no room as such.
pub(crate) fn id_of(text: String) -> MessageId {
    match text.parse() {
        Ok(number) if !text.starts_with(['0', '+']) => MessageId::from_u64(number),
        _ => MessageId::from(text),
    }
}

fn time_of(time: Timestamp) -> Option<SystemTime> {
    let since = Duration::new(u64::try_from(time.seconds).ok()?, u32::try_from(time.nanos).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}
