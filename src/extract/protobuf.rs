//! [`Protobuf`], a body that is a Protocol Buffers message.

use std::any::type_name;

use super::{FromMessage, ProtobufRejection, format};
use crate::Message;

/// What Protocol Buffers are called in a content type, by whoever writes it.
const SUBTYPES: [&str; 5] = ["protobuf", "x-protobuf", "vnd.google.protobuf", "x-google-protobuf", "proto"];

/// The body, decoded from Protocol Buffers with [`prost`].
///
/// A message is rejected whose body does not decode; whose attribute `content-type` names another format; or
/// that is still marked as encoded, by `content-encoding`. A message without these attributes, or with ones
/// that say nothing, is given the benefit of the doubt. It needs some: the format has no types, so many a
/// body of another kind decodes, and an empty one always does. Route by the type of a message.
///
/// The reason given for a rejection says which field it was, and quotes nothing of the body.
///
/// # Examples
///
/// ```
/// use chappe::extract::Protobuf;
///
/// #[derive(Clone, PartialEq, prost::Message)]
/// struct Order {
///     #[prost(uint64, tag = "1")]
///     id: u64,
/// }
///
/// async fn on_order(Protobuf(order): Protobuf<Order>) {
///     println!("order {}", order.id);
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Protobuf<T>(pub T);

impl<S: Sync, T: prost::Message + Default> FromMessage<S> for Protobuf<T> {
    type Rejection = ProtobufRejection;

    async fn from_message(message: Message, _: &S) -> Result<Self, ProtobufRejection> {
        let rejection = |came| ProtobufRejection::new(&format!("a `{}`", type_name::<T>()), came);
        format::check(&message, &SUBTYPES).map_err(rejection)?;
        T::decode(message.body().clone()).map(Self).map_err(|error| rejection(describe(&error)))
    }
}

/// Says what is wrong with a body without quoting it: numbers at the end of a text are of the body.
fn describe(error: &prost::DecodeError) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("failed to decode Protobuf message: ").unwrap_or(&text);
    match text.rsplit_once(": ") {
        Some((before, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => before.to_owned(),
        _ => text.to_owned(),
    }
}
