//! Reading events out of messages.

use std::borrow::Cow;

use chappe_core::{Message, Str, Value};

use super::binding::{names_in, without_prefix};
use super::{Binding, CONTENT_TYPE, CloudEvent, CloudEventError, ExtensionValue, Mode, STRUCTURED_JSON, json};

impl CloudEvent {
    /// Reads the event of a message, in whatever mode and under whatever names it is there.
    ///
    /// Values that are percent-encoded, as with NATS, are not told from those that are not: read them with
    /// [`from_message_of`](Self::from_message_of).
    ///
    /// # Errors
    ///
    /// If the message is not an event, not a valid one, or a batch.
    pub fn from_message(message: &Message) -> Result<Self, CloudEventError> {
        Self::from_message_of(message, Binding::Generic)
    }

    /// Reads the event of a message that came by a protocol. The protocol only tells whether values are
    /// percent-encoded; mode and names are found as by [`from_message`](Self::from_message).
    ///
    /// # Errors
    ///
    /// If the message is not an event, not a valid one, or a batch.
    pub fn from_message_of(message: &Message, binding: Binding) -> Result<Self, CloudEventError> {
        let event = match Mode::of(message) {
            None => return Err(CloudEventError::new("message is not a CloudEvent")),
            Some(Mode::Batch) => return Err(CloudEventError::new("message is a batch of CloudEvents, not one")),
            Some(Mode::Structured) => {
                check_format(message)?;
                json::read(message.body())?
            }
            Some(Mode::Binary) => read_binary(message, binding.is_encoded())?,
        };
        event.check()?;
        Ok(event)
    }

    /// Reads the events of a batch.
    ///
    /// # Errors
    ///
    /// If the message is not a batch, or one of the events is not valid: a message is settled as a whole.
    pub fn read_batch(message: &Message) -> Result<Vec<Self>, CloudEventError> {
        if Mode::of(message) != Some(Mode::Batch) {
            return Err(CloudEventError::new("message is not a batch of CloudEvents"));
        }
        let events = json::read_batch(message.body())?;
        events.iter().try_for_each(Self::check)?;
        Ok(events)
    }
}

/// Structured events come in other formats too, such as Avro, and a body without a content type is JSON.
fn check_format(message: &Message) -> Result<(), CloudEventError> {
    let Some(given) = message.attributes().get_str(CONTENT_TYPE) else { return Ok(()) };
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(STRUCTURED_JSON) {
        return Ok(());
    }
    let shown: String = essence.chars().take(64).collect();
    Err(CloudEventError::new(format!("event has the format {shown:?}, only {STRUCTURED_JSON:?} is known")))
}

fn read_binary(message: &Message, encoded: bool) -> Result<CloudEvent, CloudEventError> {
    let names = names_in(message).expect("that is how the mode was told");
    let mut event = CloudEvent::new("", "", "");
    let mut version = None;
    for (name, value) in message.attributes() {
        let Some(name) = without_prefix(names.prefix, name) else { continue };
        let name = name.to_ascii_lowercase();
        let value = text(&name, value, encoded)?;
        match name.as_str() {
            "specversion" => version = Some(value),
            "id" => event.id = value,
            "source" => event.source = value,
            "type" => event.kind = value,
            "subject" => event.subject = Some(value),
            "time" => event.time = Some(value),
            "dataschema" => event.data_schema = Some(value),
            "datacontenttype" => event.data_content_type = Some(value),
            _ => event.extensions.push((name.into(), ExtensionValue::Text(value))),
        }
    }
    json::check_version(version.as_deref())?;
    if event.data_content_type.is_none() {
        event.data_content_type = message.attributes().get_str(CONTENT_TYPE).map(|given| given.to_owned().into());
    }
    event.data = message.body().clone();
    Ok(event)
}

/// The text of an attribute; Kafka's are bytes.
fn text(name: &str, value: &Value, encoded: bool) -> Result<Str, CloudEventError> {
    let fault = || CloudEventError::new(format!("event has a {name:.20} that is no text"));
    let text = match value {
        Value::Text(text) | Value::Number(text) if !encoded => return Ok(text.clone()),
        Value::Text(text) | Value::Number(text) => Cow::Borrowed(text.as_str()),
        Value::Binary(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).map_err(|_| fault())?),
        _ => return Err(fault()),
    };
    if encoded {
        let decoded = percent_decode(&text).ok_or_else(fault)?;
        return Ok(decoded.into());
    }
    Ok(text.into_owned().into())
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(match byte {
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}
