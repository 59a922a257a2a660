//! [`Decoder`], from what SQS hands out to a message.

use std::sync::Arc;

use aws_sdk_sqs::types::Message as WireMessage;
use bytes::Bytes;
use chappe_core::attribute::reserved;
use chappe_core::backend::{DeadLetter, TextBody};
use chappe_core::{Attributes, Error, Key, Message, Value};

use super::encode::UNKEYED;
use super::envelope::{self, Look};
use super::{Envelope, attribute, pointer};
use crate::blob::{BlobKey, SharedBlobs};
use crate::metadata::{SqsMetadata, from_millis};

/// How messages are read.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    pub(crate) source: Arc<str>,
    pub(crate) envelope: Envelope,
    pub(crate) blobs: Option<SharedBlobs>,
}

/// What became of a message SQS handed out.
#[derive(Debug)]
pub(crate) enum Decoded {
    /// A message, and where its body is kept if not in the queue.
    Message(Box<Message>, Option<BlobKey>),
    /// Nothing for a handler now; it stays in the queue.
    Left(&'static str),
}

impl Decoder {
    /// Reads a message. What cannot be decoded is handed out as it is, and its metadata say why.
    pub(crate) async fn decode(&self, mut wire: WireMessage) -> Decoded {
        let mut metadata = SqsMetadata::read(&wire);
        let mut attributes = attribute::from_wire(&mut wire);
        let mut text = wire.body.take().unwrap_or_default();
        let tried = self.envelope == Envelope::Always || self.envelope == Envelope::Auto && attributes.is_empty();
        match tried.then(|| envelope::look(&text)) {
            Some(Look::Notification(opened)) => {
                text = opened.body;
                attributes = opened.attributes;
                metadata.sns = Some(opened.notification);
            }
            Some(Look::Confirmation) => return Decoded::Left("SNS asks to confirm a subscription"),
            Some(Look::Plain) if self.envelope == Envelope::Always => {
                metadata.undecoded = Some("message is not in an envelope of SNS".into());
            }
            _ => {}
        }
        let mut undecoded = |error: &Error| metadata.undecoded = Some(error.to_string().into());
        if let Err(error) = unpack(&mut attributes) {
            undecoded(&error);
        }
        let (body, blob) = match self.offloaded(&attributes, &text).await {
            Ok(Some((key, body))) => {
                attributes.remove(pointer::SIZE);
                attributes.remove(pointer::OLD_SIZE);
                (body, Some(key))
            }
            Ok(None) => (plain(&mut attributes, text, &mut undecoded), None),
            Err(error) if error.is_retryable() => {
                tracing::warn!(%error, queue = &*self.source, "body of a message cannot be fetched now");
                return Decoded::Left("its body cannot be fetched now");
            }
            Err(error) => {
                undecoded(&error);
                (Bytes::from(text), None)
            }
        };
        let mut message = Message::new(body);
        if let Some(letter) = dead_letter(&mut attributes) {
            message.extensions_mut().insert(letter);
        }
        self.stamp(&mut message, &mut attributes, &metadata, wire.message_id);
        if !attributes.is_empty() {
            *message.attributes_mut() = attributes;
        }
        message.extensions_mut().insert(metadata);
        Decoded::Message(Box::new(message), blob)
    }

    /// The body of a message whose text is a pointer, if it is one.
    async fn offloaded(&self, attributes: &Attributes, text: &str) -> Result<Option<(BlobKey, Bytes)>, Error> {
        let Some(blobs) = &self.blobs else { return Ok(None) };
        let sized = attributes.get_exact(pointer::SIZE).or_else(|| attributes.get_exact(pointer::OLD_SIZE));
        let Some(key) = sized.and_then(|_| pointer::read(text)) else { return Ok(None) };
        let body = blobs.0.get(&key).await?;
        Ok(Some((key, body)))
    }

    fn stamp(&self, message: &mut Message, attributes: &mut Attributes, metadata: &SqsMetadata, id: Option<String>) {
        if let Some(id) = id {
            message.set_id(id);
        }
        message.set_source(Arc::clone(&self.source));
        message.set_attempt(metadata.receive_count.unwrap_or(1));
        if let Some(sent) = metadata.sent {
            message.set_published(sent);
        }
        if let Some(expires) = take_number(attributes, reserved::EXPIRES) {
            message.set_expires(from_millis(expires));
        }
        let group = || metadata.group.as_deref().filter(|group| !group.starts_with(UNKEYED));
        match attributes.remove(reserved::KEY) {
            Some(Value::Binary(key)) => message.set_key(Key::from(key)),
            Some(key) => message.set_key(Key::from(Bytes::copy_from_slice(key.as_bytes()))),
            None => group().into_iter().for_each(|group| message.set_key(group.to_owned())),
        }
    }
}

/// Puts back what was packed; what cannot be unpacked stays where it is.
fn unpack(attributes: &mut Attributes) -> Result<(), Error> {
    let Some(packed) = attributes.get_exact(reserved::PACKED).cloned() else { return Ok(()) };
    let mut rest = attributes.clone();
    rest.remove(reserved::PACKED);
    rest.unpack(packed.as_bytes())?;
    *attributes = rest;
    Ok(())
}

fn plain(attributes: &mut Attributes, text: String, undecoded: &mut impl FnMut(&Error)) -> Bytes {
    let encoding = attributes.get_exact(reserved::ENCODING).and_then(Value::as_str);
    let text = Bytes::from(text);
    match TextBody::decode(text.clone(), encoding) {
        Ok(body) => {
            attributes.remove(reserved::ENCODING);
            body
        }
        Err(error) => {
            undecoded(&error);
            text
        }
    }
}

fn dead_letter(attributes: &mut Attributes) -> Option<DeadLetter> {
    let attempts = take_number(attributes, reserved::DEAD_ATTEMPTS);
    let at = take_number(attributes, reserved::DEAD_AT);
    let mut text = |name: &str| attributes.remove(name)?.as_str().map(str::to_owned);
    let (reason, source) = (text(reserved::DEAD_REASON), text(reserved::DEAD_SOURCE));
    let attempts = attempts.and_then(|attempts| u32::try_from(attempts).ok()).unwrap_or(0);
    Some(DeadLetter::new(reason?, source?, attempts, from_millis(at?)))
}

fn take_number(attributes: &mut Attributes, name: &str) -> Option<u64> {
    attributes.remove(name)?.as_str()?.parse().ok()
}
