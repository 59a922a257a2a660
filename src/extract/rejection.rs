//! Why an argument could not be had: errors that say what becomes of the message.

use std::error::Error as StdError;
use std::fmt;

use crate::{BoxError, Outcome, OutcomeError};

macro_rules! rejection {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Its chain of sources carries the [`OutcomeError`], so a handler that took a `Result` may hand it
        /// on with `?`.
        #[derive(Debug)]
        #[non_exhaustive]
        pub struct $name(Flaw);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0.what)
            }
        }

        impl StdError for $name {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(&self.0.why)
            }
        }
    };
}

#[cfg(feature = "json")]
rejection! {
    /// The body is not the JSON that was expected; the message is rejected.
    JsonRejection
}

#[cfg(feature = "msgpack")]
rejection! {
    /// The body is not the MessagePack that was expected; the message is rejected.
    MessagePackRejection
}

#[cfg(feature = "protobuf")]
rejection! {
    /// The body is not the Protocol Buffers message that was expected; the message is rejected.
    ProtobufRejection
}

rejection! {
    /// The body is not UTF-8 text; the message is rejected.
    StringRejection
}

rejection! {
    /// An attribute is missing or does not parse; the message is rejected.
    AttrRejection
}

rejection! {
    /// Something else a handler asks for is not there.
    ///
    /// Rejected is a message without the key its publisher should have set. Retried is one that lacks what
    /// the broker, the server or a layer should have supplied: that is not its fault.
    Missing
}

#[cfg(feature = "json")]
impl JsonRejection {
    pub(super) fn new(expected: &str, came: String) -> Self {
        Self(Flaw::rejected(format!("body is not JSON of {expected}"), came))
    }
}

#[cfg(feature = "msgpack")]
impl MessagePackRejection {
    pub(super) fn new(expected: &str, came: String) -> Self {
        Self(Flaw::rejected(format!("body is not MessagePack of {expected}"), came))
    }
}

#[cfg(feature = "protobuf")]
impl ProtobufRejection {
    pub(super) fn new(expected: &str, came: String) -> Self {
        Self(Flaw::rejected(format!("body is not Protocol Buffers of {expected}"), came))
    }
}

impl StringRejection {
    pub(super) fn new(error: std::str::Utf8Error) -> Self {
        Self(Flaw::rejected("body is not UTF-8 text".to_owned(), error))
    }
}

impl AttrRejection {
    pub(super) fn new(name: &str, expected: &str, came: String) -> Self {
        Self(Flaw::rejected(format!("attribute {name} is not {expected}"), came))
    }
}

impl Missing {
    pub(super) fn rejected(what: &str, why: &'static str) -> Self {
        Self(Flaw::rejected(format!("message has no {what}"), why))
    }

    pub(super) fn retried(what: &str, why: &'static str) -> Self {
        Self(Flaw { what: format!("message has no {what}"), why: OutcomeError::new(Outcome::Retry, why) })
    }
}

/// What was asked for, and below it what came instead.
#[derive(Debug)]
struct Flaw {
    what: String,
    why: OutcomeError,
}

impl Flaw {
    fn rejected(what: String, why: impl Into<BoxError>) -> Self {
        let why = why.into();
        let reason = Outcome::reject(format!("{what}: {why}"));
        Self { what, why: OutcomeError::new(reason, why) }
    }
}
