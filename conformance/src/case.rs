//! [`Case`], one behaviour the suite checks.

use std::fmt;

use chappe_core::{Error, ErrorKind};
use futures_util::future::BoxFuture;

/// One behaviour, checked on a queue or bus of its own.
///
/// `B` is what the case is given to work with.
pub(crate) struct Case<'a, B> {
    pub(crate) theme: &'static str,
    pub(crate) name: &'static str,
    pub(crate) run: fn(B) -> BoxFuture<'a, Verdict>,
}

impl<B> Clone for Case<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Case<'_, B> {}

impl<B> fmt::Debug for Case<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({}::{})", self.theme, self.name)
    }
}

/// How a case ends, unless it panics, which is how an assertion fails.
pub(crate) type Verdict = Result<(), Stop>;

/// Why a case ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The backend declares that it cannot do what the case is about.
    Skip(String),
    /// Something the case relies on failed.
    Fail(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Fail(format!("{error:?}"))
    }
}

/// Skips the rest of the case unless the backend can do it.
pub(crate) fn need(can: bool, otherwise: &str) -> Verdict {
    if can { Ok(()) } else { Err(Stop::Skip(otherwise.to_owned())) }
}

/// Passes on what was made, and skips the rest of the case if the backend has no such thing.
pub(crate) fn supported<T>(made: Result<T, Error>) -> Result<T, Stop> {
    made.map_err(|error| match error.kind() {
        ErrorKind::Unsupported => Stop::Skip(error.to_string()),
        _ => error.into(),
    })
}

/// Lists functions as cases of a theme.
macro_rules! cases {
    ($theme:literal: $($name:ident),* $(,)?) => {
        vec![$($crate::case::Case { theme: $theme, name: stringify!($name), run: |bench| Box::pin($name(bench)) }),*]
    };
}

pub(crate) use cases;
