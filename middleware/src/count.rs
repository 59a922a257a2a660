//! [`Count`], how many messages a layer has acted on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many messages a layer has acted on, over all services it made. Clones show the same number.
#[derive(Clone, Debug, Default)]
pub struct Count(Arc<AtomicU64>);

impl Count {
    /// The number so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
