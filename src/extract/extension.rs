//! [`Extension`], what a layer left for the handler.

use std::any::type_name;
use std::convert::Infallible;

use super::{FromMessageParts, Missing, OptionalFromMessageParts};
use crate::Message;

/// What a layer or a backend put into the message's [extensions](Message::extensions), by its type.
///
/// Without it the message is retried: a layer is missing, which is not the message's fault.
///
/// # Examples
///
/// ```
/// use chappe::extract::Extension;
///
/// #[derive(Clone)]
/// struct Caller(String);
///
/// async fn on_message(Extension(caller): Extension<Caller>, body: String) {
///     println!("{}: {body}", caller.0);
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Extension<T>(pub T);

impl<S: Sync, T: Clone + Send + Sync + 'static> FromMessageParts<S> for Extension<T> {
    type Rejection = Missing;

    async fn from_message_parts(message: &mut Message, _: &S) -> Result<Self, Missing> {
        match message.extensions().get::<T>() {
            Some(value) => Ok(Self(value.clone())),
            None => Err(Missing::retried(
                &format!("extension `{}`", type_name::<T>()),
                "no layer before the handler put it there",
            )),
        }
    }
}

impl<S: Sync, T: Clone + Send + Sync + 'static> OptionalFromMessageParts<S> for Extension<T> {
    type Rejection = Infallible;

    async fn optional_from_message_parts(message: &mut Message, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(message.extensions().get::<T>().cloned().map(Self))
    }
}
