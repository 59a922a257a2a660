//! [`Value`], one value of an attribute.

use bytes::Bytes;

use crate::Str;

/// One value of an attribute, of a kind the brokers know.
///
/// `Text` and `Number` differ only on brokers that tell them apart (SQS and SNS filter on it); a number is
/// kept as it was written, so no digit is lost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Value {
    /// UTF-8 text, possibly empty.
    Text(Str),
    /// A decimal number as it was written.
    Number(Str),
    /// Any bytes.
    Binary(Bytes),
    /// Present without a value, as Kafka and AMQP allow. Not the same as empty.
    Null,
}

impl Value {
    /// The text of a `Text` or `Number`.
    #[must_use]
    #[inline]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text),
            Self::Binary(_) | Self::Null => None,
        }
    }

    /// The bytes of the value, empty for `Null`.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) | Self::Number(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
            Self::Null => &[],
        }
    }
}

impl From<&'static str> for Value {
    #[inline]
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Str> for Value {
    #[inline]
    fn from(text: Str) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

macro_rules! from_number {
    ($($number:ty),*) => {$(
        impl From<$number> for Value {
            fn from(number: $number) -> Self {
                Self::Number(number.to_string().into())
            }
        }
    )*};
}

from_number!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize);

impl PartialEq<str> for Value {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == Some(*other)
    }
}
