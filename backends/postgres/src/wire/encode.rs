//! [`Columns`], messages as the arrays a statement takes.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chappe_core::{Attributes, Error, ErrorKind, Message, Value};
use tokio_postgres::types::{ToSql, Type};

use super::kind;

/// The longest key, and the longest id of a publisher: an index has no room for more.
const MAX_KEY_BYTES: usize = 1024;
/// The longest delay: a thousand years, and PostgreSQL still knows the date.
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(1_000 * 365 * 86_400);

/// Messages column by column.
#[derive(Default)]
pub(crate) struct Columns<'a> {
    delays: Vec<f64>,
    expires: Vec<Option<SystemTime>>,
    keys: Vec<Option<&'a [u8]>>,
    ids: Vec<Option<String>>,
    attributes: Vec<Option<String>>,
    kinds: Vec<Option<String>>,
    bodies: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    /// Takes in a message that was [checked](check).
    pub(crate) fn push(&mut self, message: &'a Message) {
        self.delays.push(message.delay().unwrap_or_default().as_secs_f64());
        self.expires.push(message.expires().map(whole_micros));
        self.keys.push(message.key().map(|key| key.as_bytes()));
        self.ids.push(message.id().map(|id| id.to_string()));
        let (elements, kinds) = elements(message.attributes());
        self.attributes.push((!elements.is_empty()).then(|| literal(&elements)));
        self.kinds.push(kinds);
        self.bodies.push(message.body());
    }

    /// The ids of the publisher, in order.
    pub(crate) fn ids(&self) -> &[Option<String>] {
        &self.ids
    }

    /// Whether a message has an id.
    pub(crate) fn any_id(&self) -> bool {
        self.ids.iter().any(Option::is_some)
    }

    /// Whether a message is to be seen at once.
    pub(crate) fn any_ready(&self) -> bool {
        self.delays.contains(&0.0)
    }

    /// What a statement takes from its second parameter on.
    pub(crate) fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 7] {
        [
            (&self.delays, Type::FLOAT8_ARRAY),
            (&self.expires, Type::TIMESTAMPTZ_ARRAY),
            (&self.keys, Type::BYTEA_ARRAY),
            (&self.ids, Type::TEXT_ARRAY),
            (&self.attributes, Type::TEXT_ARRAY),
            (&self.kinds, Type::TEXT_ARRAY),
            (&self.bodies, Type::BYTEA_ARRAY),
        ]
    }
}

/// Checks what the columns have limits for.
///
/// # Errors
///
/// [`ErrorKind::TooLarge`]: the key or the id is too long. [`ErrorKind::Invalid`]: the id has a NUL, or the time
/// the message expires is out of range.
pub(crate) fn check(message: &Message) -> Result<(), Error> {
    let too_long = |what: &str, size: usize| {
        let text = format!("the {what} of the message has {size} bytes, the limit is {MAX_KEY_BYTES}");
        Err(Error::new(ErrorKind::TooLarge, text))
    };
    if let Some(key) = message.key().filter(|key| key.as_bytes().len() > MAX_KEY_BYTES) {
        return too_long("key", key.as_bytes().len());
    }
    if let Some(id) = message.id().map(|id| id.to_string()) {
        if id.len() > MAX_KEY_BYTES {
            return too_long("id", id.len());
        }
        if id.contains('\0') {
            return Err(Error::new(ErrorKind::Invalid, "the id of the message has a NUL, which PostgreSQL has not"));
        }
    }
    if let Some(expires) = message.expires() {
        let since = expires.duration_since(SystemTime::UNIX_EPOCH);
        if since.unwrap_or_else(|before| before.duration()) > MAX_DELAY {
            return Err(Error::new(ErrorKind::Invalid, "the message expires more than a thousand years from 1970"));
        }
    }
    Ok(())
}

/// Names and values in turn, and their kinds unless all are text.
pub(super) fn elements(attributes: &Attributes) -> (Vec<Option<Cow<'_, str>>>, Option<String>) {
    let mut elements = Vec::with_capacity(2 * attributes.len());
    let mut kinds = String::with_capacity(attributes.len());
    for (name, value) in attributes.iter() {
        let (kind, value) = match value {
            Value::Text(text) if text.contains('\0') => (kind::ENCODED, Some(STANDARD.encode(text.as_bytes()).into())),
            Value::Text(text) => (kind::TEXT, Some(text.as_str().into())),
            Value::Number(number) if number.contains('\0') => {
                (kind::ENCODED_NUMBER, Some(STANDARD.encode(number.as_bytes()).into()))
            }
            Value::Number(number) => (kind::NUMBER, Some(number.as_str().into())),
            Value::Binary(bytes) => (kind::BYTES, Some(STANDARD.encode(bytes).into())),
            _ => (kind::TEXT, None),
        };
        elements.push(Some(name.as_str().into()));
        elements.push(value);
        kinds.push(kind);
    }
    let plain = kinds.chars().all(|kind| kind == kind::TEXT);
    (elements, (!plain).then_some(kinds))
}

/// An array in text form: one array of arrays would have to be a rectangle.
pub(super) fn literal(elements: &[Option<Cow<'_, str>>]) -> String {
    let size: usize = elements.iter().flatten().map(|element| element.len() + 3).sum();
    let mut text = String::with_capacity(size + 8);
    for (at, element) in elements.iter().enumerate() {
        text.push(if at == 0 { '{' } else { ',' });
        let Some(element) = element else {
            text.push_str("NULL");
            continue;
        };
        text.push('"');
        for character in element.chars() {
            if matches!(character, '"' | '\\') {
                text.push('\\');
            }
            text.push(character);
        }
        text.push('"');
    }
    text.push('}');
    text
}

/// The time to the microsecond, which is what PostgreSQL keeps.
fn whole_micros(time: SystemTime) -> SystemTime {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => SystemTime::UNIX_EPOCH + Duration::from_micros(since.as_micros().try_into().unwrap_or(u64::MAX)),
        Err(before) => {
            SystemTime::UNIX_EPOCH - Duration::from_micros(before.duration().as_micros().try_into().unwrap_or(u64::MAX))
        }
    }
}
