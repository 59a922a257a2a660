//! [`Attr`], one attribute: by its type in a handler, by its name in a router.

use std::any::type_name;
use std::fmt;
use std::str::FromStr;

use super::{AttrRejection, FromMessageParts, OptionalFromMessageParts};
use crate::{Message, Value};

/// How much of an attribute's value a reason shows.
const SHOWN_CHARS: usize = 64;

/// One attribute: in a handler by its [type](TypedAttribute), parsed; in a router by its name, to
/// [test it](Self::eq).
///
/// A message whose attribute is missing or does not parse is rejected; `Option<Attr<T>>` lets it be missing.
/// Of several values of the same name the first one counts, and the name is found whatever its case.
///
/// # Examples
///
/// ```
/// use std::str::FromStr;
/// use chappe::Router;
/// use chappe::extract::{Attr, TypedAttribute};
///
/// struct Priority(u8);
///
/// impl FromStr for Priority {
///     type Err = std::num::ParseIntError;
///
///     fn from_str(text: &str) -> Result<Self, Self::Err> {
///         text.parse().map(Self)
///     }
/// }
///
/// impl TypedAttribute for Priority {
///     const NAME: &'static str = "priority";
/// }
///
/// async fn on_order(Attr(priority): Attr<Priority>, body: String) {
///     println!("{}: {body}", priority.0);
/// }
///
/// let router = Router::<()>::new().route(Attr("type").eq("order.created"), on_order);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Attr<T>(pub T);

/// An attribute with a type of its own: a name, and a way to parse its text.
pub trait TypedAttribute: FromStr<Err: fmt::Display> {
    /// The name of the attribute.
    const NAME: &'static str;
}

impl<S: Sync, T: TypedAttribute> FromMessageParts<S> for Attr<T> {
    type Rejection = AttrRejection;

    async fn from_message_parts(message: &mut Message, _: &S) -> Result<Self, AttrRejection> {
        parse(message).and_then(|found| found.ok_or_else(|| rejection::<T>("the message has no such attribute".into())))
    }
}

impl<S: Sync, T: TypedAttribute> OptionalFromMessageParts<S> for Attr<T> {
    type Rejection = AttrRejection;

    async fn optional_from_message_parts(message: &mut Message, _: &S) -> Result<Option<Self>, AttrRejection> {
        parse(message)
    }
}

fn parse<T: TypedAttribute>(message: &Message) -> Result<Option<Attr<T>>, AttrRejection> {
    let text = match message.attributes().get(T::NAME) {
        None => return Ok(None),
        Some(Value::Text(text) | Value::Number(text)) => text,
        Some(Value::Binary(bytes)) => return Err(rejection::<T>(format!("it is {} bytes, not text", bytes.len()))),
        Some(_) => return Err(rejection::<T>("it has no value".into())),
    };
    match text.parse() {
        Ok(value) => Ok(Some(Attr(value))),
        Err(error) => {
            let shown: String = text.chars().take(SHOWN_CHARS).collect();
            Err(rejection::<T>(format!("{shown:?} does not parse: {error}")))
        }
    }
}

fn rejection<T: TypedAttribute>(came: String) -> AttrRejection {
    AttrRejection::new(T::NAME, &format!("a `{}`", type_name::<T>()), came)
}
