//! [`Columns`], messages as the arrays a statement takes.

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
pub(crate) struct Columns<'a> {
    delays: Vec<f64>,
    expires: Vec<Option<SystemTime>>,
    keys: Vec<Option<&'a [u8]>>,
    ids: Vec<Option<String>>,
    attributes: Vec<Option<String>>,
    kinds: Vec<Option<String>>,
    bodies: Vec<&'a [u8]>,
}

/// A column of the table and what to put there.
pub(crate) struct Column<'a> {
    /// Its name, in the table and among what is given.
    pub(crate) name: &'static str,
    /// What becomes of the value `g` has of it.
    pub(crate) value: &'static str,
    /// A value for each message.
    pub(crate) given: &'a (dyn ToSql + Sync),
    pub(crate) kind: Type,
}

impl<'a> Columns<'a> {
    /// Columns with room for so many messages.
    pub(crate) fn with_capacity(messages: usize) -> Self {
        Self {
            delays: Vec::with_capacity(messages),
            expires: Vec::with_capacity(messages),
            keys: Vec::with_capacity(messages),
            ids: Vec::with_capacity(messages),
            attributes: Vec::with_capacity(messages),
            kinds: Vec::with_capacity(messages),
            bodies: Vec::with_capacity(messages),
        }
    }

    /// Takes in a message that was [checked](check).
    pub(crate) fn push(&mut self, message: &'a Message) {
        self.delays.push(message.delay().unwrap_or_default().as_secs_f64());
        self.expires.push(message.expires().map(whole_micros));
        self.keys.push(message.key().map(|key| key.as_bytes()));
        self.ids.push(message.id().map(|id| id.to_string()));
        let (array, kinds) = array(message.attributes());
        self.attributes.push((!message.attributes().is_empty()).then_some(array));
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

    /// The columns in which a message has something else than the table gives by itself: to PostgreSQL an array of
    /// nothing is as much work as any.
    pub(crate) fn used(&self) -> Vec<Column<'_>> {
        let mut used = Vec::with_capacity(7);
        let mut add = |any: bool, name, value, given, kind| {
            if any {
                used.push(Column { name, value, given, kind });
            }
        };
        let delayed = self.delays.iter().any(|&delay| delay > 0.0);
        let delay = "clock_timestamp() + g.vt * interval '1 second'";
        add(delayed, "vt", delay, &self.delays as &(dyn ToSql + Sync), Type::FLOAT8_ARRAY);
        add(any(&self.expires), "expires", "g.expires", &self.expires, Type::TIMESTAMPTZ_ARRAY);
        add(any(&self.keys), "key", "g.key", &self.keys, Type::BYTEA_ARRAY);
        add(any(&self.ids), "dedup", "g.dedup", &self.ids, Type::TEXT_ARRAY);
        let attributes = "coalesce(g.attributes, '{}')::text[]";
        add(any(&self.attributes), "attributes", attributes, &self.attributes, Type::TEXT_ARRAY);
        add(any(&self.kinds), "kinds", "g.kinds", &self.kinds, Type::TEXT_ARRAY);
        add(true, "body", "g.body", &self.bodies, Type::BYTEA_ARRAY);
        used
    }
}

fn any<T>(values: &[Option<T>]) -> bool {
    values.iter().any(Option::is_some)
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
///
/// As an array in text form, since one array of arrays would have to be a rectangle.
pub(super) fn array(attributes: &Attributes) -> (String, Option<String>) {
    let size: usize = attributes.iter().map(|(name, value)| name.len() + value.as_bytes().len() + 6).sum();
    let mut text = String::with_capacity(size + 2);
    let mut kinds = None;
    text.push('{');
    for (at, (name, value)) in attributes.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        quote(name, &mut text);
        text.push(',');
        let kind = match value {
            Value::Text(value) => or_encoded(value, [kind::TEXT, kind::ENCODED], &mut text),
            Value::Number(value) => or_encoded(value, [kind::NUMBER, kind::ENCODED_NUMBER], &mut text),
            Value::Binary(bytes) => {
                quote(&STANDARD.encode(bytes), &mut text);
                kind::BYTES
            }
            _ => {
                text.push_str("NULL");
                kind::TEXT
            }
        };
        if kind != kind::TEXT && kinds.is_none() {
            kinds = Some(String::from(kind::TEXT).repeat(at));
        }
        if let Some(kinds) = &mut kinds {
            kinds.push(kind);
        }
    }
    text.push('}');
    (text, kinds)
}

/// Writes a value, encoded if it has a NUL, and answers which of the two kinds it is.
fn or_encoded(value: &str, [plain, encoded]: [char; 2], text: &mut String) -> char {
    if value.contains('\0') {
        quote(&STANDARD.encode(value), text);
        return encoded;
    }
    quote(value, text);
    plain
}

fn quote(element: &str, text: &mut String) {
    text.push('"');
    let mut rest = element;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\')) {
        text.push_str(&rest[..at]);
        text.push('\\');
        text.push_str(&rest[at..=at]);
        rest = &rest[at + 1..];
    }
    text.push_str(rest);
    text.push('"');
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
