//! [`Pool`], connections that share the work.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Link;

/// Connections of which a further one is used, and so made, only while those before are busy.
pub(crate) struct Pool {
    links: Vec<Arc<Link>>,
    /// How many have each of them in use.
    users: Mutex<Vec<usize>>,
}

/// A connection in use until this is dropped.
pub(crate) struct Pooled<'a> {
    pool: &'a Pool,
    at: usize,
}

impl Pool {
    pub(crate) fn new(links: impl Iterator<Item = Arc<Link>>) -> Self {
        let links: Vec<_> = links.collect();
        Self { users: Mutex::new(vec![0; links.len()]), links }
    }

    /// The connection with the least to do, and of those the first.
    pub(crate) fn link(&self) -> Pooled<'_> {
        let mut users = self.users();
        let at = (0..users.len()).min_by_key(|&at| users[at]).expect("a pool has a connection");
        users[at] += 1;
        Pooled { pool: self, at }
    }

    fn users(&self) -> MutexGuard<'_, Vec<usize>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::ops::Deref for Pooled<'_> {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.pool.links[self.at]
    }
}

impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        self.pool.users()[self.at] -= 1;
    }
}
