//! [`EventError`], what is wrong with an event.

use std::error::Error as StdError;
use std::fmt;

use crate::extract::JsonRejection;
use crate::middleware::cloudevents::CloudEventError;
use crate::middleware::dry_run::NotAFlag;
use crate::{BoxError, OutcomeError};

/// A message is not a valid event, or has another payload than is expected; it is rejected.
#[derive(Debug)]
#[non_exhaustive]
pub struct EventError {
    what: &'static str,
    why: OutcomeError,
}

impl EventError {
    pub(super) fn new(why: impl Into<BoxError>) -> Self {
        Self { what: "message is not a valid event", why: OutcomeError::reject(why) }
    }

    pub(super) fn payload(why: JsonRejection) -> Self {
        Self { what: "event has another payload than is expected", why: OutcomeError::reject(why) }
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

impl StdError for EventError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.why)
    }
}

impl From<CloudEventError> for EventError {
    fn from(error: CloudEventError) -> Self {
        Self::new(error)
    }
}

impl From<NotAFlag> for EventError {
    fn from(error: NotAFlag) -> Self {
        Self::new(error)
    }
}
