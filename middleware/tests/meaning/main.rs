//! The layers that give messages a meaning: stepped by hand, and served over the memory backend.
#![allow(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]
#![allow(unreachable_pub, reason = "a test binary has nothing to reach")]

mod kit;

#[cfg(feature = "cloudevents")]
mod cloudevents;
#[cfg(feature = "correlation")]
mod correlation;
#[cfg(feature = "dedup")]
mod dedup;
#[cfg(feature = "dry-run")]
mod dry_run;
#[cfg(feature = "expiry")]
mod expiry;
#[cfg(feature = "schema")]
mod schema;
#[cfg(feature = "scope")]
mod scope;
