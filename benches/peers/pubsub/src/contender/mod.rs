//! Who does the work: publishes so many messages, and then handles and acknowledges them all.

use std::pin::Pin;

use crate::Run;
use crate::server::Place;

pub mod ours;
pub mod raw;

/// One way of doing it.
pub type Contender = fn(Place, usize) -> Pin<Box<dyn Future<Output = Run> + Send>>;

/// What each message has beside its body.
pub const ATTRIBUTES: [(&str, &str); 4] = [("a", "value"), ("b", "value"), ("c", "value"), ("d", "value")];

/// How many messages a publisher hands over before it looks at what came of them.
pub const WAVE: usize = 2_000;

/// So many of `messages` for each of `workers`.
pub fn shares(messages: usize, workers: usize) -> impl Iterator<Item = usize> {
    (0..workers).map(move |worker| messages / workers + usize::from(worker < messages % workers))
}
