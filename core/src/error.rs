//! [`Error`], what a topic, a queue or a server can fail with.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// Any error a service of the user may return, as in tower.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What went wrong, by meaning: match on it, never on the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The queue, topic, bus or server is closed, and stays so.
    Closed,
    /// This message or option can never be accepted as it is.
    Invalid,
    /// The message is over a declared limit; the text names the limit and the actual size.
    TooLarge,
    /// The queue, topic or subscription does not exist.
    NotFound,
    /// The credentials are missing, expired or not allowed to do this.
    PermissionDenied,
    /// The broker asks for fewer requests; see [`Error::retry_after`].
    Throttled,
    /// The broker could not be reached or answered with a fault of its own.
    Unavailable,
    /// The operation took longer than it was allowed to.
    Timeout,
    /// The backend cannot do what was asked; its [`Capabilities`](crate::backend::Capabilities) say so.
    Unsupported,
    /// The lease of the message has ended; someone else may have it.
    LeaseLost,
    /// None of the above.
    Other,
}

/// An error of chappe: a [kind](ErrorKind), what it was about, and its source.
///
/// `Display` does not repeat the source; walk [`source`](StdError::source) for the chain.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Box<str>,
    retryable: Option<bool>,
    ambiguous: bool,
    retry_after: Option<Duration>,
    source: Option<BoxError>,
}

impl Error {
    /// Creates an error of `kind` with a text that names the thing, in lower case and without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into().into_boxed_str(),
            retryable: None,
            ambiguous: false,
            retry_after: None,
            source: None,
        }))
    }

    /// Attaches what caused this error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Marks a write whose confirmation was lost: it may have been applied.
    #[must_use]
    pub fn ambiguous(mut self) -> Self {
        self.0.ambiguous = true;
        self
    }

    /// Overrides whether repeating the same call later may succeed; by default the kind decides.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = Some(retryable);
        self
    }

    /// Attaches the pause the broker asked for.
    #[must_use]
    pub fn with_retry_after(mut self, pause: Duration) -> Self {
        self.0.retry_after = Some(pause);
        self
    }

    /// Turns any error into an [`Error`]: one of ours is taken out of its box, others become
    /// [`ErrorKind::Other`] with the original as source.
    ///
    /// A topic behind a tower layer answers with a [`BoxError`]; this brings the kind back.
    pub fn from_boxed(error: impl Into<BoxError>) -> Self {
        match error.into().downcast::<Self>() {
            Ok(own) => *own,
            Err(other) => Self::new(ErrorKind::Other, other.to_string()).with_source(other),
        }
    }

    /// The meaning of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether repeating the same call later may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.retryable.unwrap_or(match self.0.kind {
            ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Other => true,
            ErrorKind::Closed
            | ErrorKind::Invalid
            | ErrorKind::TooLarge
            | ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::Unsupported
            | ErrorKind::LeaseLost => false,
        })
    }

    /// Whether the write this error is about may have been applied all the same.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.0.ambiguous
    }

    /// How long the broker asked to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.0.kind).field("message", &self.0.message);
        if self.0.ambiguous {
            out.field("ambiguous", &true);
        }
        if let Some(pause) = self.0.retry_after {
            out.field("retry_after", &pause);
        }
        if let Some(source) = &self.0.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boxed_error_of_ours_keeps_its_kind() {
        let boxed: BoxError = Error::new(ErrorKind::TooLarge, "body of 3 bytes is over the limit of 2").into();

        let error = Error::from_boxed(boxed);

        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(!error.is_retryable());
    }

    #[test]
    fn display_does_not_repeat_the_source() {
        let error = Error::new(ErrorKind::Unavailable, "queue jobs cannot be reached")
            .with_source(std::io::Error::other("connection refused"));

        assert_eq!(error.to_string(), "queue jobs cannot be reached");
        assert_eq!(StdError::source(&error).unwrap().to_string(), "connection refused");
    }
}
