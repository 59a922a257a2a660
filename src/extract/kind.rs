//! [`Type`], what kind of message it is.

use std::convert::Infallible;

use super::{FromMessageParts, Missing, OptionalFromMessageParts};
use crate::{Attributes, Message, Str, Value};

/// Where a message's type is looked for, in this order: our own name and those of the CloudEvents bindings
/// for HTTP, NATS and Pub/Sub (`ce-`), for Kafka (`ce_`) and for AMQP (`cloudEvents:`).
///
/// # Source
///
/// <https://github.com/cloudevents/spec/tree/v1.0.2/cloudevents/bindings>
pub(crate) const TYPE_ATTRIBUTES: [&str; 4] = ["type", "ce-type", "ce_type", "cloudEvents:type"];

/// The type of a message: its attribute `type`, or the `ce-type` of CloudEvents.
///
/// A message without a type is rejected. In a router `Type("order.created")` is short for
/// [`Type::eq`]`("order.created")`.
///
/// # Examples
///
/// ```
/// use chappe::Router;
/// use chappe::extract::Type;
///
/// async fn audit(Type(kind): Type) {
///     println!("{kind}");
/// }
///
/// let router = Router::<()>::new().route(Type("order.created"), audit).route(Type::prefix("user."), audit);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Type<T = Str>(pub T);

/// The type of a message with these attributes.
fn type_of(attributes: &Attributes) -> Option<Type> {
    TYPE_ATTRIBUTES.iter().find_map(|name| match attributes.get(name)? {
        Value::Text(text) | Value::Number(text) => Some(Type(text.clone())),
        _ => None,
    })
}

impl<S: Sync> FromMessageParts<S> for Type {
    type Rejection = Missing;

    async fn from_message_parts(message: &mut Message, _: &S) -> Result<Self, Missing> {
        type_of(message.attributes())
            .ok_or_else(|| Missing::rejected("type", "neither attribute type nor ce-type is set"))
    }
}

impl<S: Sync> OptionalFromMessageParts<S> for Type {
    type Rejection = Infallible;

    async fn optional_from_message_parts(message: &mut Message, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(type_of(message.attributes()))
    }
}
