//! [`Json`], a body that is JSON.

use std::any::type_name;

use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::{FromMessage, JsonRejection};
use crate::Message;

const CONTENT_TYPE: &str = "content-type";

/// Content types that say nothing of what is in a body, which publishers and SDKs set by default.
const UNTELLING: [&str; 3] = ["", "application/octet-stream", "text/plain"];

/// The body, deserialized from JSON.
///
/// A message whose body is something else is rejected. So is one whose attribute `content-type` names
/// another format, such as `application/protobuf`; a message without the attribute, or with one that says
/// nothing, is given the benefit of the doubt.
///
/// The reason given for a rejection says what was expected and where in the body, and quotes nothing of it.
///
/// # Examples
///
/// ```
/// use chappe::extract::Json;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Order {
///     id: u64,
/// }
///
/// async fn on_order(Json(order): Json<Order>) {
///     println!("order {}", order.id);
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Json<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromMessage<S> for Json<T> {
    type Rejection = JsonRejection;

    async fn from_message(message: Message, _: &S) -> Result<Self, JsonRejection> {
        parse(message.attributes().get_str(CONTENT_TYPE), message.body()).map(Self)
    }
}

/// Deserializes JSON of which the content type is known or not.
pub(crate) fn parse<T: DeserializeOwned>(content_type: Option<&str>, body: &[u8]) -> Result<T, JsonRejection> {
    if let Some(other) = content_type.filter(|given| is_another_format(given)) {
        return Err(rejection::<T>(format!("its content type is {other:?}")));
    }
    serde_json::from_slice(body).map_err(|error| rejection::<T>(describe(&error)))
}

fn rejection<T>(came: String) -> JsonRejection {
    JsonRejection::new(&format!("a `{}`", type_name::<T>()), came)
}

fn is_another_format(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let json = essence.rsplit(['/', '+']).next() == Some("json");
    !json && !UNTELLING.contains(&essence.as_str())
}

/// Says what is wrong with a body without quoting it, which the text of a [`serde_json::Error`] does.
fn describe(error: &serde_json::Error) -> String {
    match error.classify() {
        // These texts are made of fixed words.
        Category::Syntax | Category::Eof | Category::Io => error.to_string(),
        Category::Data => {
            let text = error.to_string();
            let place = format!(" at line {} column {}", error.line(), error.column());
            let flaw = unquoted(text.strip_suffix(&place).unwrap_or(&text));
            format!("{}{place}", flaw.as_deref().unwrap_or("a value was refused"))
        }
    }
}

/// Keeps of one of serde's standard texts what stems from the expected type; `None` for any other text.
fn unquoted(text: &str) -> Option<String> {
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

fn is_plain(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only deserialized")]
    struct Order {
        id: u64,
        kind: Kind,
        tags: Option<(u8, u8)>,
    }

    #[derive(Debug, serde::Deserialize)]
    enum Kind {
        New,
        Old,
    }

    fn described(body: &str) -> String {
        describe(&serde_json::from_str::<Order>(body).unwrap_err())
    }

    #[test]
    fn a_description_says_what_was_expected_and_what_came() {
        assert_eq!(described(r#"{"kind":"New"}"#), "missing field `id` at line 1 column 14");
        assert_eq!(described(r#"{"id":"hush"}"#), "expected u64, not string at line 1 column 12");
        assert_eq!(described("[1"), "EOF while parsing a list at line 1 column 2");
    }

    #[test]
    fn a_description_never_quotes_the_body() {
        let bodies = [
            r#"{"id":"hush"}"#,
            r#"{"id":"hush, expected hush"}"#,
            r#"{"id":1,"kind":"hush"}"#,
            r#"{"hush":1}"#,
            r#"{"id":1,"kind":"New","tags":["hush"]}"#,
            r#"{"id":1,"kind":"New","tags":[1]}"#,
            r#""hush""#,
            "hush",
            "{hush",
        ];

        for body in bodies {
            assert!(!described(body).contains("hush"), "{body}: {}", described(body));
        }
    }

    #[test]
    fn a_text_of_the_types_own_is_not_shown() {
        let error = <serde_json::Error as serde::de::Error>::custom("hush is no colour");

        assert_eq!(describe(&error), "a value was refused at line 0 column 0");
    }

    #[test]
    fn only_a_content_type_that_names_another_format_counts() {
        for json in ["application/json", "Application/JSON; charset=utf-8", "application/cloudevents+json", "text/json"]
        {
            assert!(!is_another_format(json), "{json}");
        }
        for untelling in ["", "text/plain; charset=utf-8", "application/octet-stream"] {
            assert!(!is_another_format(untelling), "{untelling}");
        }
        for other in ["application/protobuf", "text/csv", "avro/binary", "application/x-ndjson"] {
            assert!(is_another_format(other), "{other}");
        }
    }
}
