//! Attributes as SQS types them.

use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::MessageAttributeValue;
use bytes::Bytes;
use chappe_core::{Attributes, Str, Value};

/// An attribute for the wire. What [`fits`](crate::limit::fits) is never null.
pub(super) fn to_wire(value: &Value) -> MessageAttributeValue {
    let typed = MessageAttributeValue::builder().data_type(data_type(value));
    let typed = match value {
        Value::Binary(bytes) => typed.binary_value(Blob::new(bytes.as_ref())),
        other => typed.string_value(other.as_str().unwrap_or_default()),
    };
    typed.build().expect("the data type is set")
}

/// How many bytes SQS counts for an attribute.
pub(super) fn size(name: &str, value: &Value) -> usize {
    name.len() + data_type(value).len() + value.as_bytes().len()
}

/// The attributes of a received message, in the order of their names: the wire has none.
pub(super) fn from_wire(message: &mut aws_sdk_sqs::types::Message) -> Attributes {
    let Some(map) = message.message_attributes.take() else { return Attributes::new() };
    let mut attributes: Attributes =
        map.into_iter().map(|(name, value)| (Str::from(name), value_from_wire(value))).collect();
    attributes.sort();
    attributes
}

/// A value with a type of another system, such as `String.Array`, is text.
fn value_from_wire(value: MessageAttributeValue) -> Value {
    let is_number = value.data_type == "Number" || value.data_type.starts_with("Number.");
    match (value.string_value, value.binary_value) {
        (Some(text), _) if is_number => Value::Number(text.into()),
        (Some(text), _) => Value::from(text),
        (None, Some(blob)) => Value::Binary(Bytes::from(blob.into_inner())),
        (None, None) => Value::Null,
    }
}

fn data_type(value: &Value) -> &'static str {
    match value {
        Value::Number(_) => "Number",
        Value::Binary(_) => "Binary",
        _ => "String",
    }
}
