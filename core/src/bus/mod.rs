//! What buses behind a network share, for their authors.
//!
//! Such a bus has one connection for all subscriptions of a handle, which must always be read, however slow a
//! subscriber is. So each subscription has a [`Line`] of its own, where its
//! [options](crate::backend::SubscribeOptions) apply: what waits is bounded, and what is dropped is told.
//!
//! The broker carries bytes. A message goes as its [`Mark`], which says who published it and the how-manieth of
//! theirs it is, and its [envelope](seal). By the marks a subscriber knows its own messages, and sees in their
//! [`Sequence`] that some are missing. Whoever waits to be subscribed waits for [`Progress`].

mod envelope;
mod line;
mod mark;
mod number;
mod progress;
mod sequence;

pub use envelope::{open, seal};
pub use line::{End, Line, Took};
pub use mark::{Mark, Origin};
pub use number::{get_number, put_number};
pub use progress::Progress;
pub use sequence::{Numbers, Sequence};
