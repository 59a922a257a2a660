//! [`Json`], a body that is JSON.

use std::any::type_name;

use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::format::{self, unquoted};
use super::{FromMessage, JsonRejection};
use crate::Message;

/// What JSON is called in a content type.
const SUBTYPES: [&str; 1] = ["json"];

/// The body, deserialized from JSON.
///
/// A message whose body is something else is rejected. So is one whose attribute `content-type` names
/// another format, such as `application/protobuf`; a message without the attribute, or with one that says
/// nothing, is given the benefit of the doubt. A message that is still marked as encoded, by
/// `content-encoding`, is rejected: the layer that decodes it is missing.
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
        format::check(&message, &SUBTYPES).map_err(rejection::<T>)?;
        deserialize(message.body()).map(Self)
    }
}

/// Deserializes JSON that was found in some part of a message, with what is said of its content type there.
#[cfg(feature = "event")]
pub(crate) fn parse<T: DeserializeOwned>(content_type: Option<&str>, body: &[u8]) -> Result<T, JsonRejection> {
    format::check_type(content_type, &SUBTYPES).map_err(rejection::<T>)?;
    deserialize(body)
}

fn deserialize<T: DeserializeOwned>(body: &[u8]) -> Result<T, JsonRejection> {
    serde_json::from_slice(body).map_err(|error| rejection::<T>(describe(&error)))
}

fn rejection<T>(came: String) -> JsonRejection {
    JsonRejection::new(&format!("a `{}`", type_name::<T>()), came)
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
}
