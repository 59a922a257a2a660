//! What the answer of a service says, for layers that look at it and hand it on as it is.

use std::any::Any;
use std::borrow::Cow;
#[cfg(feature = "retry")]
use std::{error::Error as StdError, io};

use chappe_core::{BoxError, Outcome};

static ACK: Outcome = Outcome::Ack;

/// What becomes of the message, by an answer of any type. An answer other than an [`Outcome`] or an error
/// is taken for an acknowledgement: a look at it must not use it up.
pub(crate) fn outcome_of<R: 'static>(answer: &Result<R, BoxError>) -> Cow<'_, Outcome> {
    match answer {
        Ok(answer) => Cow::Borrowed((answer as &dyn Any).downcast_ref::<Outcome>().unwrap_or(&ACK)),
        Err(error) => Cow::Owned(Outcome::of_error(&**error)),
    }
}

/// The first error of a type along the chain of sources, through errors wrapped in an `io::Error` too.
#[cfg(feature = "retry")]
pub(crate) fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}
