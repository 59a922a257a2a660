//! [`Decoder`], rows as messages.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chappe_core::backend::DeadLetter;
use chappe_core::{Attributes, Error, ErrorKind, Message, MessageId, Str, Value};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::kind;

/// Makes messages of the rows a fetch returns.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    source: Arc<str>,
}

impl Decoder {
    /// The columns it wants, of the table `m`.
    pub(crate) const COLUMNS: &str = "m.id, m.attempts, m.enqueued, m.expires, m.key, m.attributes, m.kinds, m.body, \
         m.dead_reason, m.dead_source, m.dead_attempts, m.dead_at";

    pub(crate) fn new(queue: &str) -> Self {
        Self { source: queue.into() }
    }

    /// The message of a row.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`]: the row was not written by this crate.
    pub(crate) fn decode(&self, row: &Row) -> Result<Message, Error> {
        let id: i64 = column(row, 0)?;
        let mut message = Message::new(Bytes::copy_from_slice(column(row, 7)?));
        let elements: Vec<Option<&str>> = column(row, 5)?;
        if !elements.is_empty() {
            *message.attributes_mut() = attributes_of(&elements, column(row, 6)?).ok_or_else(|| {
                Error::new(ErrorKind::Invalid, format!("message {id} of queue {} has odd attributes", self.source))
            })?;
        }
        if let Some(key) = column::<Option<&[u8]>>(row, 4)? {
            message.set_key(key.to_vec());
        }
        if let Some(expires) = column::<Option<SystemTime>>(row, 3)? {
            message.set_expires(expires);
        }
        message.set_id(MessageId::from_u64(id.unsigned_abs()));
        message.set_attempt(column::<i32>(row, 1)?.unsigned_abs());
        message.set_published(column(row, 2)?);
        message.set_source(Arc::clone(&self.source));
        if let Some(reason) = column::<Option<&str>>(row, 8)? {
            let source = column::<Option<&str>>(row, 9)?.unwrap_or_default();
            let attempts = column::<Option<i32>>(row, 10)?.unwrap_or_default().unsigned_abs();
            let at = column::<Option<SystemTime>>(row, 11)?.unwrap_or(SystemTime::UNIX_EPOCH);
            message.extensions_mut().insert(DeadLetter::new(reason, source, attempts, at));
        }
        Ok(message)
    }
}

/// Attributes out of names and values in turn, or `None` if they make no sense.
pub(super) fn attributes_of(elements: &[Option<&str>], kinds: Option<&str>) -> Option<Attributes> {
    let mut attributes = Attributes::new();
    let mut kinds = kinds.map(str::chars);
    if !elements.len().is_multiple_of(2) {
        return None;
    }
    for pair in elements.chunks_exact(2) {
        let kind = kinds.as_mut().map_or(Some(kind::TEXT), Iterator::next)?;
        let value = match (kind, pair[1]) {
            (_, None) => Value::Null,
            (kind::TEXT, Some(text)) => Value::Text(Str::new(text)),
            (kind::NUMBER, Some(number)) => Value::Number(Str::new(number)),
            (kind::BYTES, Some(text)) => Value::from(STANDARD.decode(text).ok()?),
            (kind::ENCODED_NUMBER, Some(text)) => {
                Value::Number(Str::from(String::from_utf8(STANDARD.decode(text).ok()?).ok()?))
            }
            (kind::ENCODED, Some(text)) => Value::from(String::from_utf8(STANDARD.decode(text).ok()?).ok()?),
            _ => return None,
        };
        attributes.append(Str::new(pair[0]?), value);
    }
    Some(attributes)
}

fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, Error> {
    row.try_get(at).map_err(|error| {
        Error::new(ErrorKind::Invalid, format!("column {at} of a message cannot be read")).with_source(error)
    })
}
