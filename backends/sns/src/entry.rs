//! A message in the form SNS takes.

use std::collections::HashMap;
use std::time::SystemTime;

use aws_sdk_sns::primitives::Blob;
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use chappe_core::attribute::{Packer, reserved};
use chappe_core::backend::TextBody;
use chappe_core::{Error, ErrorKind, Key, Message, Str, Value};

use crate::limit::{self, DEFAULT_MAX_BYTES, MAX_SUBJECT};
use crate::{Subject, array, unique};

/// The group of a message without a key, so that a FIFO topic orders it with no other. `chappe-sqs` takes a group
/// that begins so for none.
const UNKEYED: &str = "unkeyed-";
/// The group of a key that cannot be one itself; the key travels in an attribute.
const HASHED: &str = "key-";

/// How messages of one topic are encoded.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    pub(crate) name: String,
    pub(crate) fifo: bool,
    pub(crate) max_bytes: usize,
    pub(crate) packer: Packer,
    pub(crate) arrays: Vec<Str>,
}

/// One message, encoded.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) message: String,
    pub(crate) attributes: Option<HashMap<String, MessageAttributeValue>>,
    pub(crate) subject: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) deduplication_id: Option<String>,
    /// As SNS counts them: body, and names, types and values of attributes.
    pub(crate) bytes: usize,
}

impl Encoder {
    pub(crate) fn new(name: &str, fifo: bool) -> Self {
        let packer = Packer::new(limit::MAX_ATTRIBUTES, limit::fits)
            .promote([reserved::ENCODING, "traceparent"])
            .unordered(false);
        Self { name: name.to_owned(), fifo, max_bytes: DEFAULT_MAX_BYTES, packer, arrays: Vec::new() }
    }

    /// Encodes a message. One without an id is given one if the topic recognises duplicates, so that it can be
    /// repeated.
    pub(crate) fn encode(&self, message: &mut Message) -> Result<Entry, Error> {
        if self.fifo && message.id().is_none() {
            message.set_id(unique::id());
        }
        let body = body(message);
        let (group, key) = self.group(message);
        let mut attributes = array::join(message.attributes(), &self.arrays);
        if let Some(key) = key {
            // Text where it can be, for consumers of other kinds.
            attributes.append(
                reserved::KEY,
                key.as_str().map_or_else(|| Value::from(key.clone().into_bytes()), |text| Value::from(text.to_owned())),
            );
        }
        if let Some(expires) = message.expires() {
            attributes.append(reserved::EXPIRES, millis(expires));
        }
        if let Some(encoding) = body.encoding() {
            attributes.append(reserved::ENCODING, encoding);
        }
        let packed = self.packer.pack(&attributes, 0)?;
        let rest = packed.bytes().map(|bytes| Value::Binary(bytes.clone()));
        let rest = rest.as_ref().map(|value| (reserved::PACKED, value));
        let mut map = HashMap::new();
        let mut bytes = body.len();
        for (name, value) in packed.kept().map(|(name, value)| (name.as_str(), value)).chain(rest) {
            let data_type = self.data_type(name, value);
            bytes += name.len() + data_type.len() + value.as_bytes().len();
            map.insert(name.to_owned(), to_wire(data_type, value));
        }
        if bytes > self.max_bytes {
            return Err(self.too_large(message, &body, bytes));
        }
        let id = message.id().filter(|_| self.fifo);
        Ok(Entry {
            message: body.to_text().into_owned(),
            attributes: Some(map).filter(|map| !map.is_empty()),
            subject: message.extensions().get::<Subject>().map(subject).transpose()?,
            group,
            deduplication_id: id
                .map(|id| id.to_str())
                .map(|id| if limit::is_id(&id) { id.into() } else { format!("{:032x}", hash(id.as_bytes())) }),
            bytes,
        })
    }

    /// The group of a message, and its key if that has to travel beside it.
    fn group<'a>(&self, message: &'a Message) -> (Option<String>, Option<&'a Key>) {
        match message.key() {
            None if self.fifo => (Some(format!("{UNKEYED}{}", unique::id())), None),
            None => (None, None),
            Some(key) => match key.as_str().filter(|key| limit::is_id(key) && !key.starts_with(UNKEYED)) {
                Some(key) => (Some(key.to_owned()), None),
                None => (Some(format!("{HASHED}{:032x}", hash(key.as_bytes()))), Some(key)),
            },
        }
    }

    fn data_type(&self, name: &str, value: &Value) -> &'static str {
        match value {
            Value::Text(_) if array::is_listed(name, &self.arrays) => "String.Array",
            Value::Number(_) => "Number",
            Value::Binary(_) => "Binary",
            _ => "String",
        }
    }

    fn too_large(&self, message: &Message, body: &TextBody<'_>, bytes: usize) -> Error {
        let (name, limit, length) = (&self.name, self.max_bytes, message.body().len());
        let room = body.room(limit.saturating_sub(bytes - body.len()));
        let how = if body.encoding().is_some() { ", as it has to be carried in base64" } else { "" };
        let text = format!(
            "message of {length} bytes of body is too large for topic {name}: it takes {bytes} of {limit} bytes, \
             beside its attributes there is room for {room}{how}; compress it, or raise the topic's MaximumMessageSize"
        );
        Error::new(ErrorKind::TooLarge, text)
    }
}

impl Entry {
    /// The entry of a call with several messages; `id` tells them apart in its answer.
    pub(crate) fn into_request(self, id: usize) -> PublishBatchRequestEntry {
        PublishBatchRequestEntry::builder()
            .id(id.to_string())
            .message(self.message)
            .set_message_attributes(self.attributes)
            .set_subject(self.subject)
            .set_message_group_id(self.group)
            .set_message_deduplication_id(self.deduplication_id)
            .build()
            .expect("the required fields are set")
    }
}

fn body(message: &Message) -> TextBody<'_> {
    let body = message.body();
    // A receiver of raw messages must not take it for an envelope and unwrap it.
    if resembles_envelope(body) { TextBody::base64(body) } else { TextBody::new(body, limit::is_text) }
}

fn resembles_envelope(body: &[u8]) -> bool {
    let contains = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
    body.first() == Some(&b'{') && contains(b"\"TopicArn\"") && contains(b"\"Type\"")
}

fn to_wire(data_type: &str, value: &Value) -> MessageAttributeValue {
    let typed = MessageAttributeValue::builder().data_type(data_type);
    let typed = match value {
        Value::Binary(bytes) => typed.binary_value(Blob::new(bytes.as_ref())),
        other => typed.string_value(other.as_str().unwrap_or_default()),
    };
    typed.build().expect("the data type is set")
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// FNV-1a of 128 bits, as `chappe-sqs` has it: the same in every process and version.
fn hash(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

fn subject(Subject(text): &Subject) -> Result<String, Error> {
    let length = text.chars().count();
    let allowed = text.chars().all(|c| c.is_ascii() && !c.is_ascii_control());
    if allowed && (1..=MAX_SUBJECT).contains(&length) {
        return Ok(text.clone());
    }
    let text = format!("subject {text:?} cannot be carried; use 1 to {MAX_SUBJECT} printable ASCII characters");
    Err(Error::new(ErrorKind::Invalid, text))
}
