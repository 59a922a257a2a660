//! What is known of a message besides its body, and the lease it is handled under.

use std::convert::Infallible;
use std::time::SystemTime;

use super::{FromMessageParts, Missing, OptionalFromMessageParts};
use crate::{Attributes, Key, Lease, Message, MessageId, Str};

/// Which attempt to handle the message this is, from 1; 0 where the broker does not count.
///
/// # Examples
///
/// ```
/// use chappe::extract::Attempt;
///
/// async fn on_message(Attempt(attempt): Attempt) {
///     if attempt > 3 {
///         println!("this is getting tedious");
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u32);

/// The queue, subscription or topic the message came from.
///
/// In a router it [names one](Self::eq).
///
/// # Examples
///
/// ```
/// use chappe::Router;
/// use chappe::extract::Source;
///
/// async fn on_job(Source(queue): Source, body: String) {
///     println!("{queue}: {body}");
/// }
///
/// let router = Router::<()>::new().route(Source::eq("jobs"), on_job);
/// ```
#[derive(Clone, Debug)]
pub struct Source(pub Str);

/// When the broker accepted the message.
///
/// # Examples
///
/// ```
/// use chappe::extract::PublishedAt;
///
/// async fn on_message(published: Option<PublishedAt>) {
///     if let Some(age) = published.and_then(|at| at.0.elapsed().ok()) {
///         println!("{age:?} old");
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishedAt(pub SystemTime);

impl<S: Sync> FromMessageParts<S> for Attempt {
    type Rejection = Infallible;

    async fn from_message_parts(message: &mut Message, _: &S) -> Result<Self, Infallible> {
        Ok(Self(message.attempt()))
    }
}

/// A copy of all attributes.
impl<S: Sync> FromMessageParts<S> for Attributes {
    type Rejection = Infallible;

    async fn from_message_parts(message: &mut Message, _: &S) -> Result<Self, Infallible> {
        Ok(message.attributes().clone())
    }
}

/// An argument that is a field of the message which may be empty.
macro_rules! field {
    ($(#[$doc:meta])* $name:ident, $missing:expr, $field:expr) => {
        $(#[$doc])*
        impl<S: Sync> FromMessageParts<S> for $name {
            type Rejection = Missing;

            async fn from_message_parts(message: &mut Message, _: &S) -> Result<Self, Missing> {
                let field: fn(&Message) -> Option<$name> = $field;
                field(message).ok_or_else(|| $missing)
            }
        }

        impl<S: Sync> OptionalFromMessageParts<S> for $name {
            type Rejection = Infallible;

            async fn optional_from_message_parts(message: &mut Message, _: &S) -> Result<Option<Self>, Infallible> {
                let field: fn(&Message) -> Option<$name> = $field;
                Ok(field(message))
            }
        }
    };
}

field! {
    /// What the message is ordered by; a message without a key is rejected.
    Key, Missing::rejected("key", "its publisher set none"), |message| message.key().cloned()
}

field! {
    /// The broker's identifier; without one the message is retried.
    MessageId, Missing::retried("id", "the broker gave none"), |message| message.id().cloned()
}

field! {
    Source,
    Missing::retried("source", "the backend named none"),
    |message| message.source().map(|source| Source(source.to_owned().into()))
}

field! {
    PublishedAt,
    Missing::retried("time of publication", "the broker told none"),
    |message| message.published().map(PublishedAt)
}

field! {
    /// The time the handler has; a message that no server lent one is retried.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use chappe::{Error, Lease};
    ///
    /// async fn on_video(lease: Lease, body: bytes::Bytes) -> Result<(), Error> {
    ///     lease.extend(Duration::from_secs(600)).await?;
    ///     tokio::select! {
    ///         _ = transcode(body) => Ok(()),
    ///         why = lease.cancelled() => Err(Error::new(chappe::ErrorKind::LeaseLost, format!("stopped: {why:?}"))),
    ///     }
    /// }
    /// # async fn transcode(_: bytes::Bytes) {}
    /// ```
    Lease, Missing::retried("lease", "it was not handed over by a server"), |message| message.lease().cloned()
}
