//! From a message to the fields of an entry.

use std::borrow::Cow;
use std::time::SystemTime;

use chappe_core::attribute::reserved;
use chappe_core::{Message, Value};
use redis::Cmd;

use super::BODY;

/// The fields of an entry, names and values in turn.
pub(crate) struct Fields<'a>(Vec<Cow<'a, [u8]>>);

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a Message) -> Self {
        let attributes = message.attributes();
        let mut fields = Self(Vec::with_capacity(2 * attributes.len() + 4));
        fields.add(BODY, &**message.body());
        if let Some(key) = message.key() {
            fields.add(reserved::KEY.as_bytes(), key.as_bytes());
        }
        if let Some(expires) = message.expires() {
            let millis = expires.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
            fields.add(reserved::EXPIRES.as_bytes(), millis.to_string().into_bytes());
        }
        if attributes.iter().any(|(_, value)| !matches!(value, Value::Text(_))) {
            let kinds: Vec<u8> = attributes.iter().map(|(_, value)| kind(value)).collect();
            fields.add(reserved::PACKED.as_bytes(), kinds);
        }
        for (name, value) in attributes {
            fields.add(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    fn add(&mut self, name: &'a [u8], value: impl Into<Cow<'a, [u8]>>) {
        self.0.push(Cow::Borrowed(name));
        self.0.push(value.into());
    }

    /// How many names and values there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Puts them behind what a command has.
    pub(crate) fn write(&self, command: &mut Cmd) {
        for field in &self.0 {
            command.arg(&**field);
        }
    }

    #[cfg(test)]
    pub(super) fn into_values(self) -> Vec<redis::Value> {
        self.0.into_iter().map(|field| redis::Value::BulkString(field.into_owned())).collect()
    }
}

/// The letter of a kind of value.
fn kind(value: &Value) -> u8 {
    match value {
        Value::Number(_) => b'n',
        Value::Binary(_) => b'b',
        Value::Null => b'0',
        _ => b't',
    }
}
