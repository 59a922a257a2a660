//! Attributes with several values, in the form filter policies understand.

use chappe_core::{Attributes, Str, Value};
use serde_json::Value as Json;

/// Whether `name` is one of those whose values travel as an array.
pub(crate) fn is_listed(name: &str, arrays: &[Str]) -> bool {
    arrays.iter().any(|listed| listed.as_str() == name)
}

/// Puts all values of each listed name into one JSON array, in the place of the first. A name with a binary value
/// is left as it is, as arrays have none.
pub(crate) fn join(attributes: &Attributes, arrays: &[Str]) -> Attributes {
    if arrays.is_empty() {
        return attributes.clone();
    }
    let is_binary = |name: &str| {
        attributes.iter().any(|(other, value)| other.as_str() == name && matches!(value, Value::Binary(_)))
    };
    let mut joined = Attributes::new();
    for (name, value) in attributes {
        if !is_listed(name, arrays) || is_binary(name) {
            joined.append(name.clone(), value.clone());
        } else if joined.get_exact(name).is_none() {
            let all = attributes.iter().filter(|(other, _)| *other == name).map(|(_, value)| element(value));
            joined.append(name.clone(), Json::Array(all.collect()).to_string());
        }
    }
    joined
}

/// What is no whole number is sent as text, since its digits might not survive.
fn element(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Number(text) => text.parse::<i64>().map_or_else(|_| Json::from(text.as_str()), Json::from),
        value => Json::from(value.as_str().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags() -> Attributes {
        let mut attributes = Attributes::from([("tag", "a"), ("type", "x"), ("tag", "b\"")]);
        attributes.append("tag", 7);
        attributes.append("tag", Value::Null);
        attributes
    }

    #[test]
    fn all_values_of_a_listed_name_are_in_one_array() {
        let joined = join(&tags(), &["tag".into()]);

        assert_eq!(joined, Attributes::from([("tag", r#"["a","b\"",7,null]"#), ("type", "x")]));
    }

    #[test]
    fn other_names_and_binary_values_are_left_as_they_are() {
        let mut binary = tags();
        binary.append("tag", vec![1_u8]);

        assert_eq!(join(&tags(), &["other".into()]), tags());
        assert_eq!(join(&binary, &["tag".into()]), binary);
    }
}
