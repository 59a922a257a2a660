//! `Correlation`, the story a message belongs to.

use std::convert::Infallible;

use chappe_middleware::correlation::Correlation;

use super::{FromMessageParts, Missing, OptionalFromMessageParts};
use crate::Message;

/// The story the message belongs to: of its attribute `correlation-id`, or else its own id. A message with
/// neither is retried, as the broker gave it no id.
///
/// # Examples
///
/// ```
/// use chappe::extract::Correlation;
///
/// async fn on_order(correlation: Correlation, order: String) {
///     println!("{}: {order}", correlation.id());
/// }
/// ```
impl<S: Sync> FromMessageParts<S> for Correlation {
    type Rejection = Missing;

    async fn from_message_parts(message: &mut Message, _: &S) -> Result<Self, Missing> {
        Self::of(message).ok_or_else(|| Missing::retried("correlation", "it has no correlation id and no id"))
    }
}

impl<S: Sync> OptionalFromMessageParts<S> for Correlation {
    type Rejection = Infallible;

    async fn optional_from_message_parts(message: &mut Message, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(Self::of(message))
    }
}
