//! [`ExtensionValue`], the value of an extension attribute.

use std::fmt;

use chappe_core::Str;

/// The value of an extension attribute. In the binary mode it is text; what is read there is
/// [`Text`](Self::Text).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExtensionValue {
    /// Any text, which bytes, URIs and times are too.
    Text(Str),
    /// True or false.
    Boolean(bool),
    /// An integer of 32 bits, as the specification has it.
    Integer(i32),
}

impl ExtensionValue {
    /// The text of a [`Text`](Self::Text).
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Boolean(_) | Self::Integer(_) => None,
        }
    }
}

/// As it is written in the binary mode.
impl fmt::Display for ExtensionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.pad(text),
            Self::Boolean(value) => fmt::Display::fmt(value, f),
            Self::Integer(value) => fmt::Display::fmt(value, f),
        }
    }
}

impl From<&'static str> for ExtensionValue {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for ExtensionValue {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Str> for ExtensionValue {
    fn from(text: Str) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for ExtensionValue {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i32> for ExtensionValue {
    fn from(value: i32) -> Self {
        Self::Integer(value)
    }
}
