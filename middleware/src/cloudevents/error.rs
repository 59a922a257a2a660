//! [`CloudEventError`], what is wrong with an event.

use std::error::Error as StdError;
use std::fmt;

use chappe_core::OutcomeError;

/// A message is not a valid CloudEvent; one that is received is rejected.
#[derive(Debug)]
#[non_exhaustive]
pub struct CloudEventError {
    text: String,
    outcome: OutcomeError,
}

impl CloudEventError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { outcome: OutcomeError::reject(text.clone()), text }
    }
}

impl fmt::Display for CloudEventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for CloudEventError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.outcome)
    }
}
