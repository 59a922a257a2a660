//! [`Meter`], what measurements are written to.

use std::fmt::Debug;
use std::time::Duration;

use crate::observe::End;

/// What measurements are written to: makes a writer for each set of labels, once.
pub(super) trait Meter: Debug + Send + Sync {
    /// The writer for all that ended in one way at one destination.
    fn tally(&self, destination: Option<&str>, end: End) -> Box<dyn Tally>;

    /// The writer for what is in flight at one destination.
    fn level(&self, destination: Option<&str>) -> Box<dyn Level>;
}

/// Writes how calls ended.
pub(super) trait Tally: Debug + Send + Sync {
    /// A call took this long.
    fn call(&self, took: Duration);

    /// A message was in such a call, at this attempt or 0.
    fn message(&self, attempt: u32);
}

/// Writes what is in flight.
pub(super) trait Level: Debug + Send + Sync {
    /// So many messages have begun.
    fn began(&self, messages: usize);

    /// So many messages have ended.
    fn ended(&self, messages: usize);

    /// The oldest of those in flight has been so for this long.
    fn oldest(&self, age: Duration);
}
