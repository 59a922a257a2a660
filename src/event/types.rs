//! [`Event`] and [`Meta`].

use std::time::SystemTime;

use chappe_middleware::correlation::Correlation;
use chappe_middleware::dry_run::DryRun;

use super::{EventError, FromPayload, Payload, wire};
use crate::extract::FromMessage;
use crate::{BoxError, Message, Str};

/// Something that happened. See the [module](super).
///
/// As an argument of a handler it is read from the message, its payload deserialized from JSON; what is no valid
/// event, or has another payload, is rejected. A payload of any kind is an `Event<Payload>`, which is what
/// `Event` alone means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<T = Payload> {
    /// What tells the event from all others; the same whenever it is sent or handled again.
    pub id: Str,
    /// What happened.
    pub name: Str,
    /// The circumstances.
    pub meta: Meta,
    /// What there is to say about it.
    pub payload: T,
}

/// The circumstances of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// When it was created. Of a CloudEvent that does not say, when it was published or else read.
    pub created_at_utc: SystemTime,
    /// The story it belongs to.
    pub correlation_id: Option<Str>,
    /// Which attempt to handle it this is, from 1; 0 before the first, and where nobody counts.
    pub attempts: u32,
    /// Whether it is only a rehearsal.
    pub is_dry_run: bool,
}

impl<T> Event<T> {
    /// Creates an event that happens now, with a random id. In a handler it belongs to the story of the event
    /// that is being handled, and is a rehearsal if that is one.
    pub fn new(name: impl Into<Str>, payload: T) -> Self {
        let meta = Meta {
            created_at_utc: SystemTime::now(),
            correlation_id: Correlation::current().map(|correlation| correlation.id()),
            attempts: 0,
            is_dry_run: !DryRun::current().is_real(),
        };
        Self { id: uuid::Uuid::new_v4().to_string().into(), name: name.into(), meta, payload }
    }

    /// The same event with another payload.
    #[must_use]
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Event<U> {
        Event { id: self.id, name: self.name, meta: self.meta, payload: map(self.payload) }
    }
}

impl Event {
    /// Reads the event of a message, in whatever form it is there.
    ///
    /// # Errors
    ///
    /// If the message is not a valid event.
    pub fn from_message(message: &Message) -> Result<Self, EventError> {
        wire::read(message)
    }
}

impl<S: Sync, T: FromPayload> FromMessage<S> for Event<T> {
    type Rejection = BoxError;

    async fn from_message(message: Message, _: &S) -> Result<Self, BoxError> {
        let Event { id, name, meta, payload } = Event::from_message(&message)?;
        Ok(Self { id, name, meta, payload: T::from_payload(payload)? })
    }
}
