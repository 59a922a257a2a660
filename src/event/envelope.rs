//! The JSON envelope of the Go library `thisiserico/golib`, version 2.
//!
//! ```text
//! {"id":"…","name":"…","meta":{"created_at_utc":"RFC 3339","correlation_id":"…","attempts":0,
//! "is_dry_run":false},"payload":"base64"}
//! ```
//!
//! An empty correlation id is none, and so is a payload that is null. What that library takes for an event
//! without a name or an id, when it cannot parse a body, is refused here.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Event, EventError, Meta, Payload};
use crate::extract::parse_json;
use crate::{Error, ErrorKind, Message, Str};

/// What the body is. The library does not look at it.
const CONTENT_TYPE: (&str, &str) = ("content-type", "application/json");

/// The attribute by which a router tells events apart without opening them.
const TYPE: &str = "type";

#[derive(Serialize, Deserialize)]
struct Envelope {
    id: String,
    name: String,
    meta: EnvelopeMeta,
    payload: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct EnvelopeMeta {
    created_at_utc: String,
    #[serde(default)]
    correlation_id: String,
    #[serde(default)]
    attempts: i64,
    #[serde(default)]
    is_dry_run: bool,
}

pub(super) fn write(event: &Event) -> Result<Message, Error> {
    if event.id.is_empty() || event.name.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "event without an id or a name cannot be emitted"));
    }
    let created_at = jiff::Timestamp::try_from(event.meta.created_at_utc).map_err(|error| {
        Error::new(ErrorKind::Invalid, "event was created at a time that cannot be written").with_source(error)
    })?;
    let envelope = Envelope {
        id: event.id.clone().into(),
        name: event.name.clone().into(),
        meta: EnvelopeMeta {
            created_at_utc: created_at.to_string(),
            correlation_id: event.meta.correlation_id.clone().unwrap_or_default().into(),
            // Any other number may have the library acknowledge the event unhandled.
            attempts: 0,
            is_dry_run: event.meta.is_dry_run,
        },
        payload: Some(BASE64.encode(event.payload.data())),
    };
    let mut message = Message::new(serde_json::to_vec(&envelope).expect("text always becomes JSON"));
    message.attributes_mut().insert(CONTENT_TYPE.0, CONTENT_TYPE.1);
    message.attributes_mut().insert(TYPE, event.name.clone());
    Ok(message)
}

pub(super) fn read(body: &[u8]) -> Result<Event, EventError> {
    let Envelope { id, name, meta, payload } = parse_json(None, body).map_err(EventError::new)?;
    if id.is_empty() || name.is_empty() {
        return Err(EventError::new("event has an empty id or name"));
    }
    let created_at = meta.created_at_utc.parse::<jiff::Timestamp>();
    let created_at = created_at.map_err(|_| EventError::new("created_at_utc is not a time by RFC 3339"))?;
    let data = match payload {
        Some(encoded) => BASE64.decode(encoded).map_err(|_| EventError::new("payload is not base64"))?.into(),
        None => Bytes::new(),
    };
    let correlation_id = Some(Str::from(meta.correlation_id)).filter(|id| !id.is_empty());
    let meta = Meta {
        created_at_utc: SystemTime::from(created_at),
        correlation_id,
        attempts: u32::try_from(meta.attempts.max(0)).unwrap_or(u32::MAX),
        is_dry_run: meta.is_dry_run,
    };
    Ok(Event { id: id.into(), name: name.into(), meta, payload: Payload::new(None, data) })
}
