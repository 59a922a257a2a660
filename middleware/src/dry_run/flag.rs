//! [`DryRun`], whether something is only a rehearsal.

use std::cell::RefCell;
use std::error::Error as StdError;
use std::fmt;

use chappe_core::{Message, OutcomeError, Value};

use super::{DRY_RUN, Scope};
use crate::context::Place;

thread_local!(pub(super) static CURRENT: Place<DryRun> = const { RefCell::new(None) });

/// Whether something is only a rehearsal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DryRun(pub bool);

impl DryRun {
    /// What a message says of itself; one that says nothing is real.
    ///
    /// # Errors
    ///
    /// If the attribute is neither `true` nor `false`, in whatever case.
    pub fn of(message: &Message) -> Result<Self, NotAFlag> {
        match message.attributes().get(DRY_RUN) {
            None => Ok(Self(false)),
            Some(Value::Text(text)) if text.eq_ignore_ascii_case("true") => Ok(Self(true)),
            Some(Value::Text(text)) if text.eq_ignore_ascii_case("false") => Ok(Self(false)),
            Some(_) => Err(NotAFlag::new()),
        }
    }

    /// What holds where this is called: in a receiver behind an [`AdoptDryRunLayer`](super::AdoptDryRunLayer),
    /// or within a [scope](Self::scope). Anywhere else all is real.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.with_borrow(|current| current.unwrap_or_default())
    }

    /// Whether effects are to last.
    #[must_use]
    pub fn is_real(self) -> bool {
        !self.0
    }

    /// Has this hold whenever `future` is polled, such as in a task of its own.
    pub fn scope<F>(self, future: F) -> Scope<F> {
        Scope::new(future, self)
    }

    /// Says on a message that it is a rehearsal, or that it is not.
    pub fn mark(self, message: &mut Message) {
        message.attributes_mut().insert(DRY_RUN, if self.0 { "true" } else { "false" });
    }
}

/// The attribute `dry-run` of a message says neither `true` nor `false`; the message is rejected.
#[derive(Debug)]
#[non_exhaustive]
pub struct NotAFlag {
    why: OutcomeError,
}

impl NotAFlag {
    fn new() -> Self {
        Self { why: OutcomeError::reject("attribute dry-run is neither true nor false") }
    }
}

impl fmt::Display for NotAFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("message does not say whether it is a rehearsal")
    }
}

impl StdError for NotAFlag {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.why)
    }
}
