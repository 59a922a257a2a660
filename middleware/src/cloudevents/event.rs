//! [`CloudEvent`], an event.

use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use chappe_core::Str;

use super::{CloudEventError, ExtensionValue};

/// The names an extension cannot have, since the specification uses them.
const TAKEN: [&str; 10] =
    ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data", "data_base64"];

/// An event by CloudEvents 1.0, with data of any kind.
///
/// # Examples
///
/// ```
/// use chappe_middleware::cloudevents::{Binding, CloudEvent, Mode};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut event = CloudEvent::new("7", "/orders", "order.created");
/// event.set_subject("chairs");
/// event.set_data("application/json", r#"{"count":3}"#);
///
/// let message = event.to_message(Binding::Kafka, Mode::Binary)?;
/// assert_eq!(message.attributes().get_str("ce_type"), Some("order.created"));
/// assert_eq!(CloudEvent::from_message(&message)?, event);
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct CloudEvent<T = Bytes> {
    pub(super) id: Str,
    pub(super) source: Str,
    pub(super) kind: Str,
    pub(super) subject: Option<Str>,
    pub(super) time: Option<Str>,
    pub(super) data_content_type: Option<Str>,
    pub(super) data_schema: Option<Str>,
    pub(super) extensions: Vec<(Str, ExtensionValue)>,
    pub(super) data: T,
}

impl CloudEvent {
    /// Creates an event without data. Whether it is valid is found out when it is written.
    pub fn new(id: impl Into<Str>, source: impl Into<Str>, kind: impl Into<Str>) -> Self {
        Self {
            id: id.into(),
            source: source.into(),
            kind: kind.into(),
            subject: None,
            time: None,
            data_content_type: None,
            data_schema: None,
            extensions: Vec::new(),
            data: Bytes::new(),
        }
    }

    /// Sets the data and what it is.
    pub fn set_data(&mut self, content_type: impl Into<Str>, data: impl Into<Bytes>) {
        self.data_content_type = Some(content_type.into());
        self.data = data.into();
    }
}

impl<T> CloudEvent<T> {
    /// What tells the event from others of its source.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where the event happened, a URI reference.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What happened: the attribute `type`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What it happened to, within the source.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// When it happened.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.time.as_deref().and_then(|time| parse_time(time).ok())
    }

    /// When it happened, as it is written.
    #[must_use]
    pub fn time_text(&self) -> Option<&str> {
        self.time.as_deref()
    }

    /// What the data is.
    #[must_use]
    pub fn data_content_type(&self) -> Option<&str> {
        self.data_content_type.as_deref()
    }

    /// The schema of the data, a URI.
    #[must_use]
    pub fn data_schema(&self) -> Option<&str> {
        self.data_schema.as_deref()
    }

    /// An extension, by its name.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<&ExtensionValue> {
        self.extensions.iter().find(|(have, _)| have.as_str() == name).map(|(_, value)| value)
    }

    /// All extensions in order.
    pub fn extensions(&self) -> impl Iterator<Item = (&str, &ExtensionValue)> {
        self.extensions.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The data.
    #[must_use]
    pub fn data(&self) -> &T {
        &self.data
    }

    /// The data, taken out.
    #[must_use]
    pub fn into_data(self) -> T {
        self.data
    }

    /// The same event with other data; what it is said to be stays.
    #[must_use]
    pub fn map_data<U>(self, map: impl FnOnce(T) -> U) -> CloudEvent<U> {
        CloudEvent {
            id: self.id,
            source: self.source,
            kind: self.kind,
            subject: self.subject,
            time: self.time,
            data_content_type: self.data_content_type,
            data_schema: self.data_schema,
            extensions: self.extensions,
            data: map(self.data),
        }
    }

    /// Sets what it happened to.
    pub fn set_subject(&mut self, subject: impl Into<Str>) {
        self.subject = Some(subject.into());
    }

    /// Sets when it happened, to the nanosecond. A time a year of four digits cannot tell is none.
    pub fn set_time(&mut self, time: SystemTime) {
        self.time = jiff::Timestamp::try_from(time).ok().map(|time| time.to_string().into());
    }

    /// Sets the schema of the data.
    pub fn set_data_schema(&mut self, uri: impl Into<Str>) {
        self.data_schema = Some(uri.into());
    }

    /// Sets an extension, in place of one it had. Its name is made of lower-case letters and digits.
    pub fn set_extension(&mut self, name: impl Into<Str>, value: impl Into<ExtensionValue>) {
        let (name, value) = (name.into(), value.into());
        match self.extensions.iter_mut().find(|(have, _)| *have == name) {
            Some((_, old)) => *old = value,
            None => self.extensions.push((name, value)),
        }
    }

    /// Whether the event is valid.
    ///
    /// # Errors
    ///
    /// If it is not, with the attribute that is at fault.
    pub fn check(&self) -> Result<(), CloudEventError> {
        let required = [("id", &self.id), ("source", &self.source), ("type", &self.kind)];
        let optional = [
            ("subject", &self.subject),
            ("datacontenttype", &self.data_content_type),
            ("dataschema", &self.data_schema),
        ];
        let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        for (name, value) in required.into_iter().chain(optional) {
            check_text(name, value)?;
            if value.is_empty() {
                return Err(CloudEventError::new(format!("event has an empty {name}")));
            }
        }
        for (name, uri) in [("source", Some(&self.source)), ("dataschema", self.data_schema.as_ref())] {
            if uri.is_some_and(|uri| uri.contains(char::is_whitespace)) {
                return Err(CloudEventError::new(format!("event has a {name} that is no URI")));
            }
        }
        if let Some(time) = &self.time {
            parse_time(time)?;
        }
        for (name, value) in &self.extensions {
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            if name.is_empty() || !name.chars().all(is_plain) || TAKEN.contains(&name.as_str()) {
                let text = format!("event has an extension {name:?}, a name is made of lower-case letters and digits");
                return Err(CloudEventError::new(text));
            }
            if let ExtensionValue::Text(text) = value {
                check_text(name, text)?;
            }
        }
        Ok(())
    }
}

/// Shows everything but the data: a debug line must not leak what an event says.
impl<T> fmt::Debug for CloudEvent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudEvent")
            .field("id", &self.id)
            .field("source", &self.source)
            .field("type", &self.kind)
            .field("subject", &self.subject)
            .field("time", &self.time)
            .field("data_content_type", &self.data_content_type)
            .field("data_schema", &self.data_schema)
            .field("extensions", &self.extensions)
            .finish_non_exhaustive()
    }
}

/// Whether a content type is that of JSON; without one, data is JSON by default.
pub(super) fn is_json(content_type: Option<&str>) -> bool {
    content_type.is_none_or(|given| {
        let essence = given.split(';').next().unwrap_or_default().trim();
        essence.rsplit(['/', '+']).next().is_some_and(|last| last.eq_ignore_ascii_case("json"))
    })
}

fn check_text(name: &str, text: &str) -> Result<(), CloudEventError> {
    if text.contains(char::is_control) {
        return Err(CloudEventError::new(format!("event has a control character in its {name}")));
    }
    Ok(())
}

/// Parses a time by RFC 3339, which is narrower than what the parser takes.
fn parse_time(text: &str) -> Result<SystemTime, CloudEventError> {
    let fault = || CloudEventError::new("event has a time that is not by RFC 3339");
    let bytes = text.as_bytes();
    let marks = [(4, b"--"), (7, b"--"), (10, b"Tt"), (13, b"::"), (16, b"::")];
    let has_marks = marks.iter().all(|(at, marks)| bytes.get(*at).is_some_and(|byte| marks.contains(byte)));
    if !has_marks || text.contains('[') {
        return Err(fault());
    }
    text.parse::<jiff::Timestamp>().map(SystemTime::from).map_err(|_| fault())
}
