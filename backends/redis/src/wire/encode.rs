//! From a message to the fields of an entry.

use std::time::SystemTime;

use chappe_core::attribute::reserved;
use chappe_core::{Message, Value};
use redis::Cmd;

use super::BODY;

/// What a command has beside the message: the names of fields that are not attributes.
const SLACK: usize = 64;

/// The fields of an entry, names and values in turn.
pub(crate) struct Fields<'a> {
    message: &'a Message,
    expires: Option<String>,
    /// A letter for each attribute, where not all are text.
    kinds: Option<Vec<u8>>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a Message) -> Self {
        let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let attributes = message.attributes();
        let text = attributes.iter().all(|(_, value)| matches!(value, Value::Text(_)));
        Self {
            message,
            expires: message.expires().map(|time| since(time).to_string()),
            kinds: (!text).then(|| attributes.iter().map(|(_, value)| kind(value)).collect()),
        }
    }

    /// How many names and values there are.
    pub(crate) fn len(&self) -> usize {
        let beside = [self.message.key().is_some(), self.expires.is_some(), self.kinds.is_some()];
        2 * (1 + beside.into_iter().filter(|there| *there).count() + self.message.attributes().len())
    }

    /// A command with `start` and all of them.
    pub(crate) fn command(&self, start: &[&str]) -> Cmd {
        // Made as large as it will be: growing it took longer than writing it.
        let beside = start.iter().map(|word| word.len()).sum::<usize>() + SLACK;
        let mut command = Cmd::with_capacity(start.len() + self.len(), self.message.size_bytes() + beside);
        for word in start {
            command.arg(word);
        }
        self.write(&mut command);
        command
    }

    /// Puts them behind what a command has.
    pub(crate) fn write(&self, command: &mut Cmd) {
        self.each(|field| {
            command.arg(field);
        });
    }

    fn each(&self, mut put: impl FnMut(&[u8])) {
        let mut pair = |name: &[u8], value: &[u8]| {
            put(name);
            put(value);
        };
        pair(BODY, self.message.body());
        if let Some(key) = self.message.key() {
            pair(reserved::KEY.as_bytes(), key.as_bytes());
        }
        if let Some(expires) = &self.expires {
            pair(reserved::EXPIRES.as_bytes(), expires.as_bytes());
        }
        if let Some(kinds) = &self.kinds {
            pair(reserved::PACKED.as_bytes(), kinds);
        }
        for (name, value) in self.message.attributes() {
            pair(name.as_bytes(), value.as_bytes());
        }
    }

    #[cfg(test)]
    pub(super) fn to_values(&self) -> Vec<redis::Value> {
        let mut values = Vec::new();
        self.each(|field| values.push(redis::Value::BulkString(field.to_vec())));
        values
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
