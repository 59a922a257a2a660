//! [`KeySource`], where the key of a message is taken from.

use std::fmt;
use std::fmt::Write;
use std::sync::Arc;

use chappe_core::{Message, Str};

use super::IDEMPOTENCY_KEY;

pub(super) type KeyFn = dyn Fn(&Message) -> Option<Str> + Send + Sync;

#[derive(Clone)]
pub(super) enum KeySource {
    /// The idempotency key, or else the id with its source.
    Default,
    Attribute(Str),
    Function(Arc<KeyFn>),
}

impl KeySource {
    /// The key of a message within a namespace, if it has one.
    pub(super) fn key(&self, namespace: &str, message: &Message) -> Option<String> {
        let mut key = String::with_capacity(namespace.len() + 40);
        if !namespace.is_empty() {
            key.push_str(namespace);
            key.push('/');
        }
        let attribute = |name| message.attributes().get_str(name).filter(|text| !text.is_empty());
        match self {
            Self::Default => match attribute(IDEMPOTENCY_KEY) {
                Some(own) => write!(key, "key/{own}"),
                // An id may look like another's key: the two are kept apart.
                None => write!(key, "id/{}/{}", message.source().unwrap_or_default(), message.id()?),
            },
            Self::Attribute(name) => write!(key, "key/{}", attribute(name)?),
            Self::Function(function) => write!(key, "key/{}", function(message)?),
        }
        .expect("writing to a string cannot fail");
        Some(key)
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("Default"),
            Self::Attribute(name) => f.debug_tuple("Attribute").field(name).finish(),
            Self::Function(_) => f.write_str("Function"),
        }
    }
}
