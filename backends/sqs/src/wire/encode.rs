//! [`Encoder`], from a message to an entry of a batch.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use chappe_core::attribute::{Packer, reserved};
use chappe_core::backend::{DeadLetter, TextBody};
use chappe_core::{Attributes, Error, ErrorKind, Key, Message, MessageId, Value};

use super::{attribute, envelope, pointer};
use crate::blob::SharedBlobs;
use crate::limit::{self, MAX_ATTRIBUTES, MAX_BYTES, MAX_DELAY};
use crate::metadata::to_millis;
use crate::target::Target;

/// The group of a message without a key, so that a FIFO queue orders it with no other.
pub(crate) const UNKEYED: &str = "unkeyed-";
/// The group of a key that cannot be one itself; the key travels in an attribute.
const HASHED: &str = "key-";
/// The most bytes of the reason of a dead letter.
const MAX_REASON: usize = 1024;

/// Room for a pointer to a body, and the attribute that goes with it.
const POINTER: usize = 2048;

/// How messages are written.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    pub(crate) target: Target,
    pub(crate) packer: Packer,
    pub(crate) max_bytes: usize,
    /// Bodies beyond `max_bytes` go there.
    pub(crate) blobs: Option<SharedBlobs>,
}

/// A message as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) body: String,
    pub(crate) attributes: Option<HashMap<String, MessageAttributeValue>>,
    pub(crate) group: Option<String>,
    pub(crate) deduplication_id: Option<String>,
    pub(crate) delay: Option<i32>,
    /// What SQS counts.
    pub(crate) bytes: usize,
}

impl Encoder {
    pub(crate) fn new(target: Target) -> Self {
        // What a consumer of any kind has to see.
        let packer = Packer::new(MAX_ATTRIBUTES, limit::fits)
            .promote([reserved::ENCODING, pointer::SIZE, "traceparent"])
            .unordered(false);
        Self { target, packer, max_bytes: MAX_BYTES, blobs: None }
    }

    /// Writes a message. One without an id is given one if the queue recognises duplicates, so that it can
    /// be repeated.
    pub(crate) async fn encode(&self, message: &mut Message) -> Result<Entry, Error> {
        if self.target.is_fifo() && message.id().is_none() {
            message.set_id(fresh_id());
        }
        self.encode_with(message, &self.packer, None).await
    }

    /// Writes a message for the dead letter. Must not fail for what was added: then it goes without.
    pub(crate) async fn encode_dead(&self, message: &Message, letter: &DeadLetter) -> Result<Entry, Error> {
        let lenient = self.packer.clone().strict(false);
        match self.encode_with(message, &lenient, Some(letter)).await {
            Err(error) if error.kind() == ErrorKind::TooLarge => self.encode_with(message, &lenient, None).await,
            other => other,
        }
    }

    async fn encode_with(
        &self,
        message: &Message,
        packer: &Packer,
        letter: Option<&DeadLetter>,
    ) -> Result<Entry, Error> {
        let delay = self.delay(message)?;
        let (group, key) = self.group(message);
        let body = body_of(message);
        let mut attributes = message.attributes().clone();
        add_reserved(&mut attributes, message, key, letter);
        let mut stored = None;
        if let Some(encoding) = body.encoding() {
            attributes.append(reserved::ENCODING, encoding);
        }
        let mut entry = assemble(packer, &attributes, body.len())?;
        if entry.bytes > self.max_bytes {
            // Nothing is stored for a message whose attributes alone are too much.
            let pointed = self.blobs.as_ref().filter(|_| entry.bytes - body.len() + POINTER <= self.max_bytes);
            let Some(blobs) = pointed else { return Err(self.too_large(&entry, &body, message)) };
            attributes.remove(reserved::ENCODING);
            attributes.append(pointer::SIZE, message.body().len() as u64);
            let place = blobs.0.put(&fresh_id(), message.body().clone()).await?;
            let text = pointer::write(&place);
            entry = assemble(packer, &attributes, text.len())?;
            stored = Some(text);
        }
        Ok(Entry {
            body: stored.unwrap_or_else(|| body.to_text().into_owned()),
            group,
            deduplication_id: self.target.is_fifo().then(|| message.id().map(deduplication_id)).flatten(),
            delay,
            ..entry
        })
    }

    fn too_large(&self, entry: &Entry, body: &TextBody<'_>, message: &Message) -> Error {
        let (name, limit) = (self.target.name(), self.max_bytes);
        let attributes = entry.bytes - body.len().min(entry.bytes);
        let room = body.room(limit.saturating_sub(attributes));
        let how = if body.encoding().is_some() { ", as it has to be carried in base64" } else { "" };
        let text = format!(
            "message of {} bytes of body is too large for queue {name}: it takes {} of {limit} bytes, beside its \
             attributes there is room for {room}{how}; compress it, or keep large bodies in a blob store",
            message.body().len(),
            entry.bytes
        );
        Error::new(ErrorKind::TooLarge, text)
    }

    fn delay(&self, message: &Message) -> Result<Option<i32>, Error> {
        let Some(delay) = message.delay() else { return Ok(None) };
        let name = self.target.name();
        if self.target.is_fifo() {
            if delay.is_zero() {
                return Ok(None);
            }
            let text = format!(
                "message has a delay of {delay:?}, which queue {name} has not for single messages: it is a FIFO queue; \
                 use a standard one, or set a delay on the queue"
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        if delay > MAX_DELAY {
            let text =
                format!("message has a delay of {delay:?}, queue {name} holds one back for {MAX_DELAY:?} at most");
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        Ok(Some(whole_seconds(delay)))
    }

    /// The group of a message, and its key if that has to travel beside it.
    fn group<'a>(&self, message: &'a Message) -> (Option<String>, Option<&'a Key>) {
        match message.key() {
            None if self.target.is_fifo() => (Some(format!("{UNKEYED}{}", fresh_id())), None),
            None => (None, None),
            Some(key) => match key.as_str().filter(|key| limit::is_id(key) && !key.starts_with(UNKEYED)) {
                Some(key) => (Some(key.to_owned()), None),
                None => (Some(format!("{HASHED}{:032x}", hash(key.as_bytes()))), Some(key)),
            },
        }
    }
}

impl Entry {
    pub(crate) fn into_batch_entry(self, id: usize) -> SendMessageBatchRequestEntry {
        SendMessageBatchRequestEntry::builder()
            .id(id.to_string())
            .message_body(self.body)
            .set_message_attributes(self.attributes)
            .set_message_group_id(self.group)
            .set_message_deduplication_id(self.deduplication_id)
            .set_delay_seconds(self.delay)
            .build()
            .expect("id and body are set")
    }
}

/// Whole seconds, never fewer than asked for.
pub(crate) fn whole_seconds(time: Duration) -> i32 {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

/// An id nobody has used: 128 bits of chance.
pub(crate) fn fresh_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// A receiver must not take a body for an envelope of SNS and unwrap it, so what resembles one is hidden.
fn body_of(message: &Message) -> TextBody<'_> {
    let body = message.body();
    if envelope::resembles(body) { TextBody::base64(body) } else { TextBody::new(body, limit::is_text) }
}

fn assemble(packer: &Packer, attributes: &Attributes, body_bytes: usize) -> Result<Entry, Error> {
    let packed = packer.pack(attributes, 0)?;
    let mut map = HashMap::new();
    let mut bytes = body_bytes;
    let rest = packed.bytes().map(|bytes| Value::Binary(bytes.clone()));
    let rest = rest.as_ref().map(|value| (reserved::PACKED, value));
    for (name, value) in packed.kept().map(|(name, value)| (name.as_str(), value)).chain(rest) {
        bytes += attribute::size(name, value);
        map.insert(name.to_owned(), attribute::to_wire(value));
    }
    let attributes = Some(map).filter(|map| !map.is_empty());
    Ok(Entry { body: String::new(), attributes, group: None, deduplication_id: None, delay: None, bytes })
}

/// Adds what SQS has no field for.
fn add_reserved(attributes: &mut Attributes, message: &Message, key: Option<&Key>, letter: Option<&DeadLetter>) {
    if let Some(key) = key {
        attributes.append(reserved::KEY, key.clone().into_bytes());
    }
    if let Some(expires) = message.expires() {
        attributes.append(reserved::EXPIRES, to_millis(expires));
    }
    if let Some(letter) = letter {
        let end = (0..=MAX_REASON.min(letter.reason.len())).rev().find(|&end| letter.reason.is_char_boundary(end));
        attributes.append(reserved::DEAD_REASON, letter.reason[..end.unwrap_or(0)].to_owned());
        attributes.append(reserved::DEAD_SOURCE, letter.source.to_string());
        attributes.append(reserved::DEAD_ATTEMPTS, letter.attempts);
        attributes.append(reserved::DEAD_AT, to_millis(letter.at));
    }
}

fn deduplication_id(id: &MessageId) -> String {
    let id = id.to_str();
    if limit::is_id(&id) { id.into() } else { format!("{:032x}", hash(id.as_bytes())) }
}

/// FNV-1a of 128 bits: the same in every process and version, which is all that is asked for.
fn hash(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}
