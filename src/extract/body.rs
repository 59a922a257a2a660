//! The body as it is, the body as text, and the whole message.

use std::convert::Infallible;

use bytes::Bytes;

use super::{FromMessage, StringRejection};
use crate::Message;

/// Everything: head, body, extensions and lease.
///
/// # Examples
///
/// ```
/// use chappe::{BoxError, Message, Topic};
/// use chappe::extract::State;
///
/// async fn relay<T: Topic>(State(topic): State<T>, message: Message) -> Result<(), BoxError> {
///     topic.publish(message.into_outgoing()).await?;
///     Ok(())
/// }
/// ```
impl<S: Sync> FromMessage<S> for Message {
    type Rejection = Infallible;

    async fn from_message(message: Message, _: &S) -> Result<Self, Infallible> {
        Ok(message)
    }
}

/// The body as it is, without copying it.
///
/// # Examples
///
/// ```
/// async fn on_upload(body: bytes::Bytes) {
///     println!("{} bytes", body.len());
/// }
/// ```
impl<S: Sync> FromMessage<S> for Bytes {
    type Rejection = Infallible;

    async fn from_message(message: Message, _: &S) -> Result<Self, Infallible> {
        Ok(message.into_body())
    }
}

/// The body as UTF-8 text; a message with another body is rejected.
///
/// The text is copied only where the body is shared, as it is while a queue keeps it for redelivery.
///
/// # Examples
///
/// ```
/// async fn on_note(text: String) {
///     println!("{text}");
/// }
/// ```
impl<S: Sync> FromMessage<S> for String {
    type Rejection = StringRejection;

    async fn from_message(message: Message, _: &S) -> Result<Self, StringRejection> {
        Self::from_utf8(message.into_body().into()).map_err(|error| StringRejection::new(error.utf8_error()))
    }
}
