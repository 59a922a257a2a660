//! Who does the work: publishes so many messages, and then fetches and acknowledges them all.

use std::pin::Pin;

use crate::Run;

pub mod omniqueue;
pub mod ours;
pub mod raw;

/// One way of doing it, in the queue of this name.
pub type Contender = fn(String, usize) -> Pin<Box<dyn Future<Output = Run> + Send>>;

/// So many of `messages` for each of `workers`.
pub fn shares(messages: usize, workers: usize) -> impl Iterator<Item = usize> {
    (0..workers).map(move |worker| messages / workers + usize::from(worker < messages % workers))
}
