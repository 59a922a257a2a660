//! [`Wire`], the form in which events travel.

use std::time::SystemTime;

use chappe_middleware::cloudevents::{Binding, CloudEvent, ExtensionValue, Mode};
use chappe_middleware::correlation::Correlation;
use chappe_middleware::dry_run::DryRun;

use super::{Event, EventError, IntoPayload, Meta, Payload, envelope};
use crate::{Error, Message, Str};

/// The extensions of CloudEvents that carry what the specification has no attribute for.
const CORRELATION_ID: &str = "correlationid";
const CAUSATION_ID: &str = "causationid";
const DRY_RUN: &str = "dryrun";

/// The form in which events travel. The table is in the [module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wire {
    /// CloudEvents 1.0.
    CloudEvents(Binding, Mode),
    /// The JSON envelope of the Go library `thisiserico/golib`.
    Envelope,
}

impl Wire {
    /// CloudEvents the way a protocol wants them.
    #[must_use]
    pub fn of(binding: Binding) -> Self {
        Self::CloudEvents(binding, binding.default_mode())
    }
}

/// CloudEvents in the binary mode under generic names.
impl Default for Wire {
    fn default() -> Self {
        Self::of(Binding::Generic)
    }
}

/// Makes a message of an event.
pub(super) fn write<P: IntoPayload>(event: Event<P>, wire: Wire, source: &Str) -> Result<Message, Error> {
    let Event { id, name, meta, payload } = event;
    let event = Event { id: id.clone(), name, meta, payload: payload.into_payload()? };
    let mut message = match wire {
        Wire::CloudEvents(binding, mode) => cloud_event(event, source).to_message(binding, mode)?,
        Wire::Envelope => envelope::write(&event)?,
    };
    // What is published twice is then refused by brokers that can.
    message.set_id(id);
    Ok(message)
}

/// Reads an event in whatever form it is there.
pub(super) fn read(message: &Message) -> Result<Event, EventError> {
    let mut event = match Mode::of(message) {
        Some(_) => from_cloud_event(CloudEvent::from_message(message)?, message)?,
        None => envelope::read(message.body())?,
    };
    if message.attempt() > 0 {
        event.meta.attempts = message.attempt();
    }
    // A rehearsal stays one, whichever of the two says so.
    event.meta.is_dry_run |= !DryRun::of(message)?.is_real();
    Ok(event)
}

fn cloud_event(event: Event, source: &Str) -> CloudEvent {
    let Event { id, name, meta, payload } = event;
    let mut cloud = CloudEvent::new(id, source.clone(), name);
    cloud.set_time(meta.created_at_utc);
    let (content_type, data) = payload.into_parts();
    match content_type {
        Some(content_type) => cloud.set_data(content_type, data),
        None => cloud = cloud.map_data(|_| data),
    }
    if let Some(id) = meta.correlation_id {
        cloud.set_extension(CORRELATION_ID, id);
    }
    if let Some(cause) = Correlation::current().as_ref().and_then(Correlation::cause) {
        cloud.set_extension(CAUSATION_ID, cause.to_str());
    }
    if meta.is_dry_run {
        cloud.set_extension(DRY_RUN, true);
    }
    cloud
}

fn from_cloud_event(cloud: CloudEvent, message: &Message) -> Result<Event, EventError> {
    let text = |value: &ExtensionValue| Str::from(value.to_string());
    let is_dry_run = match cloud.extension(DRY_RUN).map(text).as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(EventError::new("extension dryrun is neither true nor false")),
    };
    let meta = Meta {
        created_at_utc: cloud.time().or_else(|| message.published()).unwrap_or_else(SystemTime::now),
        correlation_id: cloud.extension(CORRELATION_ID).map(text).filter(|id| !id.is_empty()),
        attempts: 0,
        is_dry_run,
    };
    let owned = |text: &str| Str::from(text.to_owned());
    let (id, name) = (owned(cloud.id()), owned(cloud.kind()));
    let content_type = cloud.data_content_type().map(owned);
    Ok(Event { id, name, meta, payload: Payload::new(content_type, cloud.into_data()) })
}
