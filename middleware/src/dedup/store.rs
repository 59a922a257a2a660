//! [`DedupStore`], the contract of what remembers keys.

use std::future::Future;
use std::time::Duration;

use chappe_core::BoxError;

/// What remembers which messages were handled.
///
/// A handle: clones are the same store, and every method may be called concurrently. Each must be atomic with
/// respect to the others on the same key, across all processes that share the store. How long confirmed keys
/// are kept is the store's to say.
pub trait DedupStore: Clone + Send + Sync + 'static {
    /// Reserves `key` for `time`, if it is neither confirmed nor reserved by another.
    ///
    /// A reservation whose time is over is as good as none, and its [`Token`] does nothing any more.
    ///
    /// # Errors
    ///
    /// If the store cannot be asked. It may have reserved the key all the same; the time ends that.
    fn reserve(&self, key: &str, time: Duration) -> impl Future<Output = Result<Reserve, BoxError>> + Send;

    /// Has the reservation last for `time` from now on. Answers whether it was still there.
    ///
    /// # Errors
    ///
    /// If the store cannot be asked.
    fn renew(&self, key: &str, token: Token, time: Duration) -> impl Future<Output = Result<bool, BoxError>> + Send;

    /// Remembers `key` as handled. If its reservation ended and nobody else has one it is confirmed as well;
    /// over another's reservation it is not, for that one's work is under way.
    ///
    /// # Errors
    ///
    /// If the store cannot be asked. A second call with the same token does no harm.
    fn confirm(&self, key: &str, token: Token) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Ends the reservation, if it is still there.
    ///
    /// # Errors
    ///
    /// If the store cannot be asked; the reservation then ends with its time.
    fn release(&self, key: &str, token: Token) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Ends the reservation of a message whose handling was dropped or panicked. Must not block.
    ///
    /// A store that cannot do this at once may have a task do it, or leave it to the reservation's time, which
    /// is the default.
    fn abandon(&self, key: &str, token: Token) {
        let _ = (key, token);
    }
}

/// Whether a key could be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reserve {
    /// It is reserved now.
    Reserved(Token),
    /// Another has it, for this long unless it is renewed.
    Taken(Duration),
    /// It was confirmed before.
    Confirmed,
}

/// Which reservation of a key is meant: each has a token of its own, so that one that has ended cannot be taken
/// for the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u64);
