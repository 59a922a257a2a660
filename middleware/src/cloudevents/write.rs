//! Writing events into messages.

use std::fmt::Write;

use chappe_core::{Attributes, Error, ErrorKind, Message, Str, Value};

use super::binding::behind_prefix;
use super::{BATCH_JSON, Binding, CONTENT_TYPE, CloudEvent, ExtensionValue, Mode, SPEC_VERSION, STRUCTURED_JSON, json};

/// The extension that says what events are ordered by.
const PARTITION_KEY: &str = "partitionkey";

impl CloudEvent {
    /// Makes a message of the event.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the event is not valid, or the mode is [`Batch`](Mode::Batch).
    pub fn to_message(&self, binding: Binding, mode: Mode) -> Result<Message, Error> {
        let mut message = Message::default();
        self.write_to(&mut message, binding, mode)?;
        Ok(message)
    }

    /// Writes the event into a message, in place of its body and of the event that may be there. What else it
    /// has stays.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the event is not valid, or the mode is [`Batch`](Mode::Batch). The message is
    /// then as it was.
    pub fn write_to(&self, message: &mut Message, binding: Binding, mode: Mode) -> Result<(), Error> {
        self.check().map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))?;
        let (attributes, body) = match mode {
            Mode::Binary => (self.binary_attributes(binding), self.data.clone()),
            Mode::Structured => ([(CONTENT_TYPE, STRUCTURED_JSON)].into(), json::write(self)),
            Mode::Batch => return Err(Error::new(ErrorKind::Invalid, "one event is not written as a batch")),
        };
        let others = message.attributes().iter().filter(|(name, _)| !is_of_event(name));
        let others = others.map(|(name, value)| (name.clone(), value.clone()));
        let attributes = attributes.iter().map(|(name, value)| (name.clone(), value.clone())).chain(others).collect();
        *message.attributes_mut() = attributes;
        message.set_body(body);
        if let (None, Some(key)) = (message.key(), self.extension(PARTITION_KEY)) {
            message.set_key(key.to_string());
        }
        Ok(())
    }

    /// Makes one message of any number of events.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if one of them is not valid.
    pub fn to_batch(events: &[Self]) -> Result<Message, Error> {
        for event in events {
            event.check().map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))?;
        }
        let mut message = Message::new(json::write_batch(events));
        message.attributes_mut().insert(CONTENT_TYPE, BATCH_JSON);
        Ok(message)
    }

    fn binary_attributes(&self, binding: Binding) -> Attributes {
        let names = binding.names();
        let encode = |text: &Str| if binding.is_encoded() { percent_encode(text) } else { text.clone() };
        let mut attributes = Attributes::new();
        attributes.append(names.spec_version, SPEC_VERSION);
        for (name, value) in [(names.id, &self.id), (names.source, &self.source), (names.kind, &self.kind)] {
            attributes.append(name, encode(value));
        }
        let optional = [
            (names.subject, &self.subject),
            (names.time, &self.time),
            (names.data_schema, &self.data_schema),
            (binding.content_type(), &self.data_content_type),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                attributes.append(name, encode(value));
            }
        }
        for (name, value) in &self.extensions {
            let value = match value {
                ExtensionValue::Text(text) => encode(text),
                other => other.to_string().into(),
            };
            attributes.append(format!("{}{name}", names.prefix), Value::Text(value));
        }
        attributes
    }
}

/// Whether an attribute of a message belongs to an event that may be there.
fn is_of_event(name: &Str) -> bool {
    name.eq_ignore_ascii_case(CONTENT_TYPE) || behind_prefix(name).is_some()
}

/// Encodes what the binding for HTTP, which that for NATS goes by, wants encoded: space, quotation mark, per
/// cent, and all that is not printable ASCII.
fn percent_encode(text: &Str) -> Str {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'%');
    if text.bytes().all(is_plain) {
        return text.clone();
    }
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if is_plain(byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    encoded.into()
}
