//! What the arguments that parse a body have in common: whether it is theirs to parse, and how to say what is
//! wrong with it without quoting it.

use crate::Message;

const CONTENT_TYPE: &str = "content-type";
const CONTENT_ENCODING: &str = "content-encoding";

/// Content types that say nothing of what is in a body, which publishers and SDKs set by default.
const UNTELLING: [&str; 3] = ["", "application/octet-stream", "text/plain"];

/// Says why the body of a message is not of the format that these subtypes name, by its attributes.
pub(super) fn check(message: &Message, subtypes: &[&str]) -> Result<(), String> {
    let attribute = |name| message.attributes().get_str(name);
    check_type(attribute(CONTENT_TYPE), subtypes)?;
    if let Some(encoded) = attribute(CONTENT_ENCODING).filter(|given| is_encoded(given)) {
        return Err(format!("it is still encoded as {encoded:?}, a layer that decodes it is missing"));
    }
    Ok(())
}

/// Says why something of this content type is not of the format that these subtypes name.
pub(super) fn check_type(content_type: Option<&str>, subtypes: &[&str]) -> Result<(), String> {
    match content_type.filter(|given| is_another_format(given, subtypes)) {
        Some(other) => Err(format!("its content type is {other:?}")),
        None => Ok(()),
    }
}

fn is_another_format(content_type: &str, subtypes: &[&str]) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = essence.rsplit(['/', '+']).next().is_some_and(|subtype| subtypes.contains(&subtype));
    !known && !UNTELLING.contains(&essence.as_str())
}

fn is_encoded(content_encoding: &str) -> bool {
    let mut encodings = content_encoding.split(',').map(str::trim);
    encodings.any(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity"))
}

/// Keeps of one of serde's standard texts what stems from the expected type; `None` for any other text.
#[cfg(any(feature = "json", feature = "msgpack"))]
pub(super) fn unquoted(text: &str) -> Option<String> {
    if let Some(field) = text.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return is_plain(field).then(|| text.to_owned());
    }
    // What was expected stands last, so nothing quoted from the body can pass for it.
    let (came, expected) = text.rsplit_once(", expected ")?;
    let came = ["invalid type: ", "invalid value: "].iter().find_map(|prefix| came.strip_prefix(prefix));
    let Some(came) = came else {
        let known = ["unknown variant `", "unknown field `", "invalid length "];
        return known.iter().any(|prefix| text.starts_with(prefix)).then(|| format!("expected {expected}"));
    };
    // The kind of value comes first: `string "…"`, ``integer `5` ``, `map`.
    let kind = came.split([' ', '"', '`']).next().unwrap_or_default();
    Some(format!("expected {expected}, not {kind}"))
}

#[cfg(any(feature = "json", feature = "msgpack"))]
fn is_plain(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_content_type_that_names_another_format_counts() {
        for json in ["application/json", "Application/JSON; charset=utf-8", "application/cloudevents+json", "text/json"]
        {
            assert!(!is_another_format(json, &["json"]), "{json}");
        }
        for untelling in ["", "text/plain; charset=utf-8", "application/octet-stream"] {
            assert!(!is_another_format(untelling, &["json"]), "{untelling}");
        }
        for other in ["application/protobuf", "text/csv", "avro/binary", "application/x-ndjson"] {
            assert!(is_another_format(other, &["json"]), "{other}");
        }
    }

    #[test]
    fn a_message_that_is_still_encoded_is_told_from_one_that_is_not() {
        assert!(is_encoded("gzip") && is_encoded("identity, base64"));
        assert!(!is_encoded("") && !is_encoded("Identity") && !is_encoded(" , "));
    }
}
