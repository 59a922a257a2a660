//! [`MessagePack`], a body that is MessagePack.

use std::any::type_name;

use rmp_serde::Deserializer;
use rmp_serde::decode::Error;
use serde::de::DeserializeOwned;

use super::format::{self, unquoted};
use super::{FromMessage, MessagePackRejection};
use crate::Message;

/// What MessagePack is called in a content type, by whoever writes it.
const SUBTYPES: [&str; 3] = ["vnd.msgpack", "msgpack", "x-msgpack"];

/// The body, deserialized from MessagePack.
///
/// Structs may be written as maps or as arrays. A message is rejected whose body is something else, or has
/// something behind its end; whose attribute `content-type` names another format; or that is still marked as
/// encoded, by `content-encoding`. A message without these attributes, or with ones that say nothing, is
/// given the benefit of the doubt.
///
/// The reason given for a rejection says what was expected, and quotes nothing of the body.
///
/// # Examples
///
/// ```
/// use chappe::extract::MessagePack;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Order {
///     id: u64,
/// }
///
/// async fn on_order(MessagePack(order): MessagePack<Order>) {
///     println!("order {}", order.id);
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MessagePack<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromMessage<S> for MessagePack<T> {
    type Rejection = MessagePackRejection;

    async fn from_message(message: Message, _: &S) -> Result<Self, MessagePackRejection> {
        let rejection = |came| MessagePackRejection::new(&format!("a `{}`", type_name::<T>()), came);
        format::check(&message, &SUBTYPES).map_err(rejection)?;
        let mut deserializer = Deserializer::new(&message.body()[..]);
        let value = T::deserialize(&mut deserializer).map_err(|error| rejection(describe(&error)))?;
        match deserializer.get_ref() {
            [] => Ok(Self(value)),
            rest => Err(rejection(format!("{} bytes are behind its end", rest.len()))),
        }
    }
}

/// Says what is wrong with a body without quoting it, which the text of an [`Error`] does.
fn describe(error: &Error) -> String {
    match error {
        Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => "it is cut off".to_owned(),
        // The marker of a small number is the number.
        Error::TypeMismatch(_) => "a value is of another kind".to_owned(),
        Error::OutOfRange => "a number is out of range".to_owned(),
        Error::LengthMismatch(_) => "an array has another length".to_owned(),
        Error::Utf8Error(_) => "a string is not UTF-8".to_owned(),
        Error::DepthLimitExceeded => "it is nested too deeply".to_owned(),
        Error::Uncategorized(text) | Error::Syntax(text) => {
            unquoted(text).unwrap_or_else(|| "a value was refused".to_owned())
        }
    }
}
