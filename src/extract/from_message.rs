//! [`FromMessage`] and [`FromMessageParts`], what an argument of a handler implements.

use std::convert::Infallible;
use std::future::Future;

use crate::{BoxError, Message};

/// Tells apart the two ways to be the last argument of a handler. Only ever inferred.
pub mod marker {
    /// By [`FromMessageParts`](super::FromMessageParts).
    #[derive(Debug)]
    pub enum ViaParts {}

    /// By [`FromMessage`](super::FromMessage).
    #[derive(Debug)]
    pub enum ViaMessage {}
}

/// Makes an argument of a handler from a message without consuming its body.
///
/// Such arguments can stand anywhere. They run in order and are handed the same message, so one may leave
/// something in its [extensions](Message::extensions_mut) for those after it. An implementation must leave
/// the body as it is.
///
/// Any error means retry, unless it carries an [`OutcomeError`](crate::OutcomeError).
///
/// # Examples
///
/// ```
/// use chappe::extract::FromMessageParts;
/// use chappe::{Message, OutcomeError};
///
/// /// Whether this is only a rehearsal.
/// struct DryRun(bool);
///
/// impl<S: Sync> FromMessageParts<S> for DryRun {
///     type Rejection = OutcomeError;
///
///     async fn from_message_parts(message: &mut Message, _: &S) -> Result<Self, OutcomeError> {
///         match message.attributes().get_str("dry-run") {
///             Some("true") => Ok(Self(true)),
///             Some("false") | None => Ok(Self(false)),
///             Some(_) => Err(OutcomeError::reject("attribute dry-run is neither true nor false")),
///         }
///     }
/// }
///
/// async fn on_order(DryRun(rehearsal): DryRun, body: String) {
///     # let _ = (rehearsal, body);
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken from a message without consuming it",
    label = "not an argument that can stand here",
    note = "what consumes the message, like `Json`, `Bytes`, `String` and `Message`, must be the handler's last argument",
    note = "an argument of your own implements `FromMessageParts`"
)]
pub trait FromMessageParts<S>: Sized {
    /// Why the argument could not be had.
    type Rejection: Into<BoxError>;

    /// Makes the argument.
    ///
    /// # Errors
    ///
    /// Where the message or what surrounds it does not hold what is asked for; the handler is then not
    /// called.
    ///
    /// # Cancel safety
    ///
    /// Dropped with the handler's future, when the server cancels it; nothing is settled then.
    fn from_message_parts(
        message: &mut Message,
        state: &S,
    ) -> impl Future<Output = Result<Self, Self::Rejection>> + Send;
}

/// Makes the last argument of a handler from a message, and may consume it.
///
/// Everything that implements [`FromMessageParts`] implements this too.
///
/// # Examples
///
/// ```
/// use chappe::extract::FromMessage;
/// use chappe::{Message, OutcomeError};
///
/// /// The rows of a CSV body.
/// struct Rows(Vec<Vec<String>>);
///
/// impl<S: Sync> FromMessage<S> for Rows {
///     type Rejection = OutcomeError;
///
///     async fn from_message(message: Message, _: &S) -> Result<Self, OutcomeError> {
///         let text = std::str::from_utf8(message.body()).map_err(OutcomeError::reject)?;
///         Ok(Self(text.lines().map(|line| line.split(',').map(String::from).collect()).collect()))
///     }
/// }
///
/// async fn on_upload(Rows(rows): Rows) {
///     # let _ = rows;
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken from a message",
    label = "not an argument of a handler",
    note = "arguments are for example `State`, `Json`, `Bytes`, `String`, `Attr`, `Attributes`, `Attempt`, `Lease`, `Message`: see `chappe::extract`",
    note = "an argument of your own implements `FromMessageParts`, or `FromMessage` if it consumes the message"
)]
pub trait FromMessage<S, M = marker::ViaMessage>: Sized {
    /// Why the argument could not be had.
    type Rejection: Into<BoxError>;

    /// Makes the argument.
    ///
    /// # Errors
    ///
    /// Where the message does not hold what is asked for; the handler is then not called.
    ///
    /// # Cancel safety
    ///
    /// Dropped with the handler's future, when the server cancels it; nothing is settled then.
    fn from_message(message: Message, state: &S) -> impl Future<Output = Result<Self, Self::Rejection>> + Send;
}

/// Makes `Option<Self>` an argument: `None` for what is missing, a rejection for what is there but wrong.
///
/// # Examples
///
/// ```
/// use chappe::{Key, MessageId};
///
/// async fn on_order(id: Option<MessageId>, key: Option<Key>) {
///     # let _ = (id, key);
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`Option<{Self}>` cannot be taken from a message",
    label = "it is not defined what it means that `{Self}` is missing",
    note = "take `Result<{Self}, _>` with its rejection to decide in the handler"
)]
pub trait OptionalFromMessageParts<S>: Sized {
    /// Why the argument could not be had although it is there.
    type Rejection: Into<BoxError>;

    /// Makes the argument, if the message has it.
    ///
    /// # Errors
    ///
    /// Where it is there but wrong; the handler is then not called.
    ///
    /// # Cancel safety
    ///
    /// Dropped with the handler's future, when the server cancels it; nothing is settled then.
    fn optional_from_message_parts(
        message: &mut Message,
        state: &S,
    ) -> impl Future<Output = Result<Option<Self>, Self::Rejection>> + Send;
}

#[diagnostic::do_not_recommend]
impl<S: Sync, T: FromMessageParts<S>> FromMessage<S, marker::ViaParts> for T {
    type Rejection = T::Rejection;

    async fn from_message(mut message: Message, state: &S) -> Result<Self, Self::Rejection> {
        T::from_message_parts(&mut message, state).await
    }
}

impl<S: Sync, T: OptionalFromMessageParts<S>> FromMessageParts<S> for Option<T> {
    type Rejection = T::Rejection;

    async fn from_message_parts(message: &mut Message, state: &S) -> Result<Self, Self::Rejection> {
        T::optional_from_message_parts(message, state).await
    }
}

/// The handler is called in any case, and decides.
impl<S: Sync, T: FromMessageParts<S>> FromMessageParts<S> for Result<T, T::Rejection> {
    type Rejection = Infallible;

    async fn from_message_parts(message: &mut Message, state: &S) -> Result<Self, Infallible> {
        Ok(T::from_message_parts(message, state).await)
    }
}

/// The handler is called in any case, and decides.
impl<S: Sync, T: FromMessage<S>> FromMessage<S> for Result<T, T::Rejection> {
    type Rejection = Infallible;

    async fn from_message(message: Message, state: &S) -> Result<Self, Infallible> {
        Ok(T::from_message(message, state).await)
    }
}
