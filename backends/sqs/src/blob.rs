//! [`BlobStore`], where bodies are kept that are too large for a queue.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chappe_core::{Error, ErrorKind};
use futures_util::future::BoxFuture;

/// Keeps bodies that are too large for a queue: an S3 bucket, behind whatever client the application has.
///
/// The queue then carries a pointer, which Amazon's extended clients can read, as theirs can be read here.
/// Implementations are shared by all calls of a queue and of a publisher.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use chappe_sqs::{MemoryBlobs, SqsPublisher, SqsQueue};
/// # fn wire(client: &aws_sdk_sqs::Client, url: &str) {
/// let blobs = Arc::new(MemoryBlobs::new("large-orders"));
/// let publisher = SqsPublisher::new(client, url).blobs(blobs.clone());
/// let queue = SqsQueue::new(client, url).blobs(blobs);
/// # }
/// ```
pub trait BlobStore: Send + Sync + 'static {
    /// Stores a body under a key that was never used before, and says where it is.
    ///
    /// A message that is sent again is stored again, and what belongs to no message stays: leave it to the
    /// bucket's rules to delete what is older than any message gets.
    ///
    /// # Errors
    ///
    /// The message is not sent, and fails with this error.
    fn put<'a>(&'a self, key: &'a str, body: Bytes) -> BoxFuture<'a, Result<BlobKey, Error>>;

    /// Fetches a body.
    ///
    /// # Errors
    ///
    /// One that is [retryable](Error::is_retryable) has the message come again when its lease ends; any
    /// other has it handed out with the pointer as its body.
    fn get<'a>(&'a self, key: &'a BlobKey) -> BoxFuture<'a, Result<Bytes, Error>>;

    /// Deletes a body. Called after the message was deleted, if the queue is told to.
    ///
    /// # Errors
    ///
    /// Logged; the body stays.
    fn delete<'a>(&'a self, key: &'a BlobKey) -> BoxFuture<'a, Result<(), Error>>;
}

/// Where a body is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlobKey {
    /// The bucket.
    pub bucket: String,
    /// The key of the object.
    pub key: String,
}

/// A [`BlobStore`] in memory, for tests. What is in it is gone when the process ends.
pub struct MemoryBlobs {
    bucket: String,
    bodies: Mutex<HashMap<String, Bytes>>,
}

impl MemoryBlobs {
    /// An empty store that calls itself `bucket`.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self { bucket: bucket.into(), bodies: Mutex::default() }
    }

    /// How many bodies it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bodies().len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn bodies(&self) -> MutexGuard<'_, HashMap<String, Bytes>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlobStore for MemoryBlobs {
    fn put<'a>(&'a self, key: &'a str, body: Bytes) -> BoxFuture<'a, Result<BlobKey, Error>> {
        self.bodies().insert(key.to_owned(), body);
        let key = BlobKey { bucket: self.bucket.clone(), key: key.to_owned() };
        Box::pin(std::future::ready(Ok(key)))
    }

    fn get<'a>(&'a self, key: &'a BlobKey) -> BoxFuture<'a, Result<Bytes, Error>> {
        let body = self.bodies().get(&key.key).cloned();
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no {} in {}", key.key, key.bucket));
        Box::pin(std::future::ready(body.ok_or_else(missing)))
    }

    fn delete<'a>(&'a self, key: &'a BlobKey) -> BoxFuture<'a, Result<(), Error>> {
        self.bodies().remove(&key.key);
        Box::pin(std::future::ready(Ok(())))
    }
}

impl fmt::Debug for MemoryBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBlobs").field("bucket", &self.bucket).field("len", &self.len()).finish()
    }
}

/// A shared store with a `Debug`, so that what has one can derive its own.
#[derive(Clone)]
pub(crate) struct SharedBlobs(pub(crate) Arc<dyn BlobStore>);

impl fmt::Debug for SharedBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedBlobs")
    }
}
