//! [`MessageId`] and [`Key`], what a message is known and ordered by.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::Str;

/// The identifier a broker or a publisher gave a message.
///
/// On a received message it is the broker's. Set before publishing it is the idempotency id, on brokers
/// that can refuse duplicates.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Repr);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    // Numbers are formatted only when somebody looks.
    Number(u64),
    // Boxed, so that an id takes 16 bytes of a message: text ids come from brokers far away.
    Text(Arc<Str>),
}

impl MessageId {
    /// An identifier that is a number.
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        Self(Repr::Number(number))
    }

    /// The identifier as text.
    #[must_use]
    pub fn to_str(&self) -> Str {
        match &self.0 {
            Repr::Number(number) => number.to_string().into(),
            Repr::Text(text) => Str::clone(text),
        }
    }
}

impl<T: Into<Str>> From<T> for MessageId {
    fn from(text: T) -> Self {
        Self(Repr::Text(Arc::new(text.into())))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Number(number) => fmt::Display::fmt(number, f),
            Repr::Text(text) => fmt::Display::fmt(text, f),
        }
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

/// What a message is ordered by: messages of one key are handled in the order they were published, where
/// the queue or the server's lanes keep order. Any bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Bytes);

impl Key {
    /// The bytes of the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key as text, if it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The bytes of the key, shared rather than copied.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl From<&'static str> for Key {
    fn from(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Bytes> for Key {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for Key {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.0)
    }
}
