//! Identifiers no other message has.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What no other process has. The keys of a `RandomState` come from the system, for each thread anew, and
/// 128 bits of two hashes do not meet by chance.
static PROCESS: LazyLock<String> = LazyLock::new(|| {
    let state = RandomState::new();
    format!("{:016x}{:016x}", state.hash_one(0), state.hash_one(1))
});

static NEXT: AtomicU64 = AtomicU64::new(0);

/// An identifier for the deduplication of a message whose publisher gave it none.
///
/// A second message under the same identifier would be dropped, so chance must not make one.
pub(crate) fn id() -> String {
    format!("{}-{}", *PROCESS, NEXT.fetch_add(1, Ordering::Relaxed))
}
