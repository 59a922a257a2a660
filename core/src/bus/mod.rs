//! What buses behind a network share, for their authors.
//!
//! Such a bus has one connection for all subscriptions of a handle, which must always be read, however slow a
//! subscriber is. So each subscription has a [`Line`] of its own, where its
//! [options](crate::backend::SubscribeOptions) apply: what waits is bounded, and what is dropped is told.

mod line;

pub use line::{End, Line, Took};
