//! [`Publisher`], the contract of publishing in batches.

use std::future::Future;

use super::{Backend, PublishCapabilities};
use crate::{Error, ErrorKind, Message, Published};

/// Publishes batches of messages, with a result for each.
///
/// [`Batched`](crate::Batched) turns this into a topic. A handle: calls may be concurrent.
pub trait Publisher: Backend {
    /// What this publisher can do and carry. The same for the whole life of the handle.
    fn publish_capabilities(&self) -> &PublishCapabilities;

    /// Publishes a batch of at most [`max_batch`](PublishCapabilities::max_batch) entries, each of which
    /// has passed [`PublishCapabilities::check`].
    ///
    /// Sets the [`result`](Outgoing::result) of each entry as soon as it is known, also when the call then
    /// fails. `Ok` means that no entry is pending any more; the message of an entry that is not accepted is
    /// left intact, so that it can be passed again. An entry that fails does not keep its neighbours from
    /// being published, except those of its key where the order of keys is kept.
    ///
    /// Retrying is not the publisher's business, as the caller knows how long it may take.
    ///
    /// # Errors
    ///
    /// What kept the call from being made. Entries whose confirmation was lost are `Failed` with an
    /// [ambiguous](Error::is_ambiguous) error instead.
    ///
    /// # Cancel safety
    ///
    /// When dropped, each entry may or may not have been published, and the publisher stays usable.
    fn publish(&self, batch: &mut [Outgoing]) -> impl Future<Output = Result<(), Error>> + Send;
}

/// One message of a batch, and what came of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outgoing {
    /// The message. May be taken out once it is accepted; one that failed may be passed again, and is left
    /// intact.
    pub message: Message,
    /// What came of it; the publisher sets this.
    pub result: PublishResult,
}

impl Outgoing {
    /// An entry for [`Publisher::publish`].
    #[must_use]
    pub fn new(message: Message) -> Self {
        Self { message, result: PublishResult::Pending }
    }
}

/// What came of an [`Outgoing`] message.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublishResult {
    /// Not known yet.
    Pending,
    /// The broker has it.
    Accepted(Published),
    /// It was not published, or, if the error is [ambiguous](Error::is_ambiguous), it may have been.
    Failed(Error),
}

impl PublishResult {
    /// Whether nothing is known yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::Pending)
    }

    /// The result as one that is final, once the `call` it was part of is over: what is not known is what became of
    /// that.
    ///
    /// # Errors
    ///
    /// That of the message, else that of the call, else [`ErrorKind::Unavailable`].
    pub fn conclude(self, call: &Result<(), Error>) -> Result<Published, Error> {
        match (self, call) {
            (Self::Accepted(published), _) => Ok(published),
            (Self::Failed(error), _) => Err(error),
            (Self::Pending, Err(error)) => Err(Error::new(error.kind(), error.to_string())),
            (Self::Pending, Ok(())) => {
                Err(Error::new(ErrorKind::Unavailable, "publisher did not say what came of the message"))
            }
        }
    }
}
