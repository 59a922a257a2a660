//! The JSON format: one event, or a batch.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use chappe_core::Str;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::value::RawValue;

use super::event::is_json;
use super::{CloudEvent, CloudEventError, ExtensionValue, SPEC_VERSION};

/// Writes one event.
pub(super) fn write(event: &CloudEvent) -> Bytes {
    serde_json::to_vec(&Written(event)).expect("text always becomes JSON").into()
}

/// Writes any number of events.
pub(super) fn write_batch(events: &[CloudEvent]) -> Bytes {
    serde_json::to_vec(&WrittenBatch(events)).expect("text always becomes JSON").into()
}

/// Reads one event. It is not checked yet.
pub(super) fn read(body: &[u8]) -> Result<CloudEvent, CloudEventError> {
    let members: Members<'_> = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    members.into_event()
}

/// Reads any number of events. They are not checked yet.
pub(super) fn read_batch(body: &[u8]) -> Result<Vec<CloudEvent>, CloudEventError> {
    let batch: Vec<Members<'_>> = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    batch.into_iter().map(Members::into_event).collect()
}

struct Written<'a>(&'a CloudEvent);
struct WrittenBatch<'a>(&'a [CloudEvent]);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", SPEC_VERSION)?;
        for (name, value) in [("id", &event.id), ("source", &event.source), ("type", &event.kind)] {
            map.serialize_entry(name, value.as_str())?;
        }
        let optional = [
            ("subject", &event.subject),
            ("time", &event.time),
            ("datacontenttype", &event.data_content_type),
            ("dataschema", &event.data_schema),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                map.serialize_entry(name, value.as_str())?;
            }
        }
        for (name, value) in &event.extensions {
            match value {
                ExtensionValue::Text(text) => map.serialize_entry(name.as_str(), text.as_str())?,
                ExtensionValue::Boolean(value) => map.serialize_entry(name.as_str(), value)?,
                ExtensionValue::Integer(value) => map.serialize_entry(name.as_str(), value)?,
            }
        }
        if !event.data.is_empty() {
            write_data(&mut map, event.data_content_type.as_deref(), &event.data)?;
        }
        map.end()
    }
}

impl Serialize for WrittenBatch<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for event in self.0 {
            seq.serialize_element(&Written(event))?;
        }
        seq.end()
    }
}

/// JSON as it is, text of a text type as a string, anything else as base64.
fn write_data<M: SerializeMap>(map: &mut M, content_type: Option<&str>, data: &[u8]) -> Result<(), M::Error> {
    if is_json(content_type) {
        if let Ok(raw) = serde_json::from_slice::<&RawValue>(data) {
            return map.serialize_entry("data", raw);
        }
    } else if content_type.is_some_and(|given| given.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/")))
    {
        if let Ok(text) = std::str::from_utf8(data) {
            return map.serialize_entry("data", text);
        }
    }
    map.serialize_entry("data_base64", &BASE64.encode(data))
}

/// The members of a JSON object in order, each as it was written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

impl Members<'_> {
    fn into_event(self) -> Result<CloudEvent, CloudEventError> {
        let mut event = CloudEvent::new("", "", "");
        let (mut version, mut data, mut encoded) = (None, None, None);
        for (at, (name, raw)) in self.0.iter().enumerate() {
            if self.0[..at].iter().any(|(before, _)| before == name) {
                return Err(CloudEventError::new("event has an attribute twice"));
            }
            match name.as_str() {
                "data" => data = Some(raw.get()),
                "data_base64" => encoded = text(name, raw)?,
                "specversion" => version = text(name, raw)?,
                "id" => event.id = text(name, raw)?.unwrap_or_default(),
                "source" => event.source = text(name, raw)?.unwrap_or_default(),
                "type" => event.kind = text(name, raw)?.unwrap_or_default(),
                "subject" => event.subject = text(name, raw)?,
                "time" => event.time = text(name, raw)?,
                "datacontenttype" => event.data_content_type = text(name, raw)?,
                "dataschema" => event.data_schema = text(name, raw)?,
                _ => {
                    if let Some(value) = extension(name, raw)? {
                        event.extensions.push((name.clone().into(), value));
                    }
                }
            }
        }
        check_version(version.as_deref())?;
        event.data = match (data, encoded) {
            (None, None) => Bytes::new(),
            (Some(raw), None) => read_data(event.data_content_type.as_deref(), raw),
            (None, Some(encoded)) => {
                let decoded = BASE64.decode(encoded.as_bytes());
                decoded.map_err(|_| CloudEventError::new("event has data_base64 that is no base64"))?.into()
            }
            (Some(_), Some(_)) => return Err(CloudEventError::new("event has both data and data_base64")),
        };
        Ok(event)
    }
}

/// Refuses every version but ours.
pub(super) fn check_version(version: Option<&str>) -> Result<(), CloudEventError> {
    match version {
        Some(SPEC_VERSION) => Ok(()),
        Some(other) => {
            let shown: String = other.chars().take(16).collect();
            Err(CloudEventError::new(format!("event has specversion {shown:?}, only {SPEC_VERSION:?} is known")))
        }
        None => Err(CloudEventError::new("event has no specversion")),
    }
}

/// A string where there is no JSON to be had becomes what it says.
fn read_data(content_type: Option<&str>, raw: &str) -> Bytes {
    if !is_json(content_type) {
        if let Ok(text) = serde_json::from_str::<String>(raw) {
            return text.into();
        }
    }
    Bytes::copy_from_slice(raw.as_bytes())
}

/// The text of a member; null is none.
fn text(name: &str, raw: &RawValue) -> Result<Option<Str>, CloudEventError> {
    let text = serde_json::from_str::<Option<String>>(raw.get());
    let text = text.map_err(|_| CloudEventError::new(format!("event has a {name} that is no string")))?;
    Ok(text.map(Into::into))
}

fn extension(name: &str, raw: &RawValue) -> Result<Option<ExtensionValue>, CloudEventError> {
    let raw = raw.get();
    let parsed = match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(raw).map(|text| Some(ExtensionValue::from(text))).ok(),
        Some(b't' | b'f') => serde_json::from_str::<bool>(raw).map(|value| Some(value.into())).ok(),
        Some(b'n') => Some(None),
        _ => serde_json::from_str::<i32>(raw).map(|value| Some(value.into())).ok(),
    };
    let shown: String = name.chars().take(20).collect();
    parsed.ok_or_else(|| {
        CloudEventError::new(format!("event has an extension {shown:?} that is no string, boolean or 32-bit integer"))
    })
}

fn not_json(error: &serde_json::Error) -> CloudEventError {
    CloudEventError::new(format!(
        "event is not a JSON object: fault at line {} column {}",
        error.line(),
        error.column()
    ))
}
