//! [`ClaimStore`], where bodies wait.

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chappe_core::{Error, ErrorKind};
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use super::ticket::{Ticket, is_body};

/// An object store, and a prefix in it that holds bodies.
///
/// A handle: clones are the same store.
#[derive(Clone)]
pub struct ClaimStore {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl ClaimStore {
    /// Creates a handle of a store and a prefix, such as `orders/bodies`. An empty one is the whole store.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the prefix cannot be a path of an object store.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self, Error> {
        let prefix = Path::parse(prefix).map_err(|error| {
            Error::new(ErrorKind::Invalid, format!("{prefix:?} cannot be a prefix of bodies")).with_source(error)
        })?;
        Ok(Self { store, prefix })
    }

    /// Deletes bodies that were stored longer ago than `older_than`, and returns how many.
    ///
    /// Run it now and then, from one place. Whether a body is still needed cannot be seen from it, so
    /// `older_than` must be beyond the time for which any queue keeps messages, dead letters included.
    /// Objects that are no bodies by their names are left alone. The clock is this machine's, and the times
    /// are the store's.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] if the store cannot be listed, or if some bodies could not be deleted; the
    /// others are.
    ///
    /// # Cancel safety
    ///
    /// Dropped, some bodies are deleted and some are not.
    pub async fn sweep(&self, older_than: Duration) -> Result<u64, Error> {
        let Some(before) = SystemTime::now().checked_sub(older_than) else { return Ok(0) };
        let old = self.store.list(Some(&self.prefix)).try_filter_map(move |object| {
            let body = object.location.filename().is_some_and(is_body);
            let old = SystemTime::from(object.last_modified) <= before;
            ready(Ok((body && old).then_some(object.location)))
        });
        let mut deleting = self.store.delete_stream(old.boxed());
        let (mut deleted, mut failed, mut first) = (0, 0_u64, None);
        while let Some(result) = deleting.next().await {
            match result {
                Ok(_) => deleted += 1,
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => {
                    failed += 1;
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            None => Ok(deleted),
            Some(error) => {
                let text = format!("sweep of bodies in {} failed {failed} times and deleted {deleted}", self.prefix);
                Err(Error::new(ErrorKind::Unavailable, text).with_source(error))
            }
        }
    }

    /// Stores a body under a new name.
    pub(super) async fn put(&self, body: Bytes) -> Result<Ticket, Error> {
        let ticket = Ticket::new(body.len())?;
        let path = self.path(&ticket);
        self.store.put(&path, PutPayload::from_bytes(body)).await.map_err(|error| {
            let text = format!("body of {} bytes cannot be stored in {path}", ticket.bytes);
            Error::new(ErrorKind::Unavailable, text).with_source(error)
        })?;
        Ok(ticket)
    }

    /// Fetches a body; of one with another size than the ticket says, nothing is read.
    pub(super) async fn get(&self, ticket: &Ticket) -> Result<Bytes, Error> {
        let path = self.path(ticket);
        let failed = |error: object_store::Error| {
            let (kind, what) = match error {
                object_store::Error::NotFound { .. } => (ErrorKind::NotFound, "is not there"),
                _ => (ErrorKind::Unavailable, "cannot be fetched"),
            };
            Error::new(kind, format!("body {path} {what}")).with_source(error)
        };
        let object = self.store.get(&path).await.map_err(failed)?;
        if object.meta.size != ticket.bytes {
            let text = format!("body {path} is of {} bytes, and {} were stored", object.meta.size, ticket.bytes);
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        object.bytes().await.map_err(failed)
    }

    /// Deletes a body; if that fails it is left over.
    pub(super) async fn delete(&self, ticket: &Ticket) {
        let path = self.path(ticket);
        match self.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(target: "chappe::claim", error, path = path.as_ref(), "body of an acknowledged message is left over");
            }
        }
    }

    fn path(&self, ticket: &Ticket) -> Path {
        self.prefix.clone().join(ticket.file_name())
    }
}

impl fmt::Debug for ClaimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (store, prefix) = (format_args!("{}", self.store), format_args!("{}", self.prefix));
        f.debug_struct("ClaimStore").field("store", &store).field("prefix", &prefix).finish()
    }
}
