//! [`Payload`], what an event has to say, in bytes.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::EventError;
use crate::extract::parse_json;
use crate::{Error, ErrorKind, Str};

const JSON: &str = "application/json";

/// What an event has to say, in bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload {
    content_type: Option<Str>,
    data: Bytes,
}

impl Payload {
    /// A payload of any kind.
    pub fn new(content_type: impl Into<Option<Str>>, data: impl Into<Bytes>) -> Self {
        Self { content_type: content_type.into(), data: data.into() }
    }

    /// What the data is said to be. An envelope says nothing of it.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The data.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The data, taken out.
    #[must_use]
    pub fn into_data(self) -> Bytes {
        self.data
    }

    /// Deserializes the data from JSON.
    ///
    /// # Errors
    ///
    /// If it is not the JSON that is expected. The text quotes nothing of it.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, EventError> {
        parse_json(self.content_type(), &self.data).map_err(EventError::payload)
    }

    pub(super) fn into_parts(self) -> (Option<Str>, Bytes) {
        (self.content_type, self.data)
    }
}

/// Shows the size, never the data.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("content_type", &self.content_type).field("bytes", &self.data.len()).finish()
    }
}

/// What can be the payload of an event that is emitted: what serde can serialize, as JSON, and a [`Payload`].
pub trait IntoPayload {
    /// Makes it bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if it cannot be serialized.
    fn into_payload(self) -> Result<Payload, Error>;
}

impl<T: Serialize> IntoPayload for T {
    fn into_payload(self) -> Result<Payload, Error> {
        let data = serde_json::to_vec(&self).map_err(|error| {
            Error::new(ErrorKind::Invalid, "payload of the event cannot be serialized").with_source(error)
        })?;
        Ok(Payload::new(Str::from_static(JSON), data))
    }
}

impl IntoPayload for Payload {
    fn into_payload(self) -> Result<Payload, Error> {
        Ok(self)
    }
}

/// What can be the payload of an event that is handled: what serde can deserialize, from JSON, and a [`Payload`].
pub trait FromPayload: Sized {
    /// Makes it of bytes.
    ///
    /// # Errors
    ///
    /// If they are something else; the message is rejected.
    fn from_payload(payload: Payload) -> Result<Self, EventError>;
}

impl<T: DeserializeOwned> FromPayload for T {
    fn from_payload(payload: Payload) -> Result<Self, EventError> {
        payload.parse()
    }
}

impl FromPayload for Payload {
    fn from_payload(payload: Payload) -> Result<Self, EventError> {
        Ok(payload)
    }
}
