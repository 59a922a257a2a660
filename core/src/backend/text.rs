//! [`TextBody`], any body through a broker that takes text only.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::{Error, ErrorKind};

/// The value of [`ENCODING`](crate::attribute::reserved::ENCODING) for a body in base64.
const BASE64: &str = "base64";
/// Its value for an empty body.
const EMPTY: &str = "empty";
/// What stands for an empty body, as base64 of nothing is nothing.
const PLACEHOLDER: &str = "-";

/// A body as a broker that takes text only carries it.
///
/// | body | is carried as | with [`ENCODING`](crate::attribute::reserved::ENCODING) |
/// |---|---|---|
/// | text of characters the broker allows | itself, not copied | absent |
/// | anything else | base64, standard alphabet, padded | `base64` |
/// | empty | `-` | `empty` |
///
/// A `Content-Transfer-Encoding: base64`, as go-msg writes it, is an attribute like any other here; a layer
/// of `chappe-middleware` understands it.
///
/// # Examples
///
/// ```
/// use chappe_core::backend::TextBody;
///
/// let body = TextBody::new(b"\xff\x00", |c| !c.is_control());
/// assert_eq!((body.encoding(), body.len()), (Some("base64"), 4));
///
/// let text = body.to_text().into_owned();
/// assert_eq!(TextBody::decode(text, Some("base64")).unwrap(), b"\xff\x00".as_slice());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TextBody<'a>(Form<'a>);

#[derive(Clone, Copy, Debug)]
enum Form<'a> {
    Plain(&'a str),
    Base64(&'a [u8]),
    Empty,
}

impl<'a> TextBody<'a> {
    /// Chooses how to carry `body` through a broker that takes the characters for which `allowed` is true.
    pub fn new(body: &'a [u8], allowed: impl Fn(char) -> bool) -> Self {
        if body.is_empty() {
            return Self(Form::Empty);
        }
        match std::str::from_utf8(body) {
            Ok(text) if text.chars().all(allowed) => Self(Form::Plain(text)),
            _ => Self::base64(body),
        }
    }

    /// Carries `body` in base64 whatever it is, but for an empty one.
    #[must_use]
    pub fn base64(body: &'a [u8]) -> Self {
        Self(if body.is_empty() { Form::Empty } else { Form::Base64(body) })
    }

    /// The value of [`ENCODING`](crate::attribute::reserved::ENCODING) that goes with it, if any.
    #[must_use]
    pub fn encoding(&self) -> Option<&'static str> {
        match self.0 {
            Form::Plain(_) => None,
            Form::Base64(_) => Some(BASE64),
            Form::Empty => Some(EMPTY),
        }
    }

    /// How many bytes the text has. Nothing is encoded to find out.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty, that is the point")]
    pub fn len(&self) -> usize {
        match self.0 {
            Form::Plain(text) => text.len(),
            Form::Base64(bytes) => bytes.len().div_ceil(3).saturating_mul(4),
            Form::Empty => PLACEHOLDER.len(),
        }
    }

    /// How many bytes this body could have if its text may have `text_bytes`, to say a limit in the terms of
    /// the publisher.
    #[must_use]
    pub fn room(&self, text_bytes: usize) -> usize {
        match self.0 {
            Form::Base64(_) => text_bytes / 4 * 3,
            Form::Plain(_) | Form::Empty => text_bytes,
        }
    }

    /// The text.
    #[must_use]
    pub fn to_text(&self) -> Cow<'a, str> {
        match self.0 {
            Form::Plain(text) => Cow::Borrowed(text),
            Form::Base64(bytes) => Cow::Owned(STANDARD.encode(bytes)),
            Form::Empty => Cow::Borrowed(PLACEHOLDER),
        }
    }

    /// The body that was carried as `text` with this value of
    /// [`ENCODING`](crate::attribute::reserved::ENCODING).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`]: the encoding is unknown, or the text is not of it. Hand out the text as it is
    /// then, and leave the attribute where it is: a message is never dropped for this.
    pub fn decode(text: impl Into<Bytes>, encoding: Option<&str>) -> Result<Bytes, Error> {
        let text = text.into();
        match encoding {
            None => Ok(text),
            Some(EMPTY) => Ok(Bytes::new()),
            Some(BASE64) => STANDARD
                .decode(&text)
                .map(Bytes::from)
                .map_err(|error| Error::new(ErrorKind::Invalid, "body is not the base64 it says").with_source(error)),
            Some(other) => Err(Error::new(ErrorKind::Invalid, format!("body has the unknown encoding {other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn printable(character: char) -> bool {
        !character.is_control()
    }

    #[test]
    fn text_the_broker_allows_is_carried_as_it_is() {
        let body = TextBody::new("größe".as_bytes(), printable);

        assert_eq!((body.encoding(), body.to_text()), (None, Cow::Borrowed("größe")));
    }

    #[test]
    fn an_empty_body_has_a_placeholder() {
        let body = TextBody::new(b"", printable);

        assert_eq!((body.encoding(), body.to_text(), body.len()), (Some("empty"), Cow::Borrowed("-"), 1));
        assert!(TextBody::decode("-", body.encoding()).unwrap().is_empty());
    }

    #[test]
    fn a_body_that_looks_like_the_placeholder_stays_itself() {
        let body = TextBody::new(b"-", printable);

        assert_eq!(TextBody::decode(body.to_text().into_owned(), body.encoding()).unwrap(), "-");
    }

    #[test]
    fn the_room_of_base64_is_what_fits_into_it() {
        let limit = 10;
        let room = TextBody::base64(b"\0").room(limit);

        assert!(TextBody::base64(&vec![0; room]).len() <= limit);
        assert!(TextBody::base64(&vec![0; room + 1]).len() > limit);
    }

    #[test]
    fn what_cannot_be_decoded_is_an_error_that_says_why() {
        let unknown = TextBody::decode("x", Some("zstd")).unwrap_err();
        let broken = TextBody::decode("x", Some("base64")).unwrap_err();

        assert_eq!(unknown.to_string(), r#"body has the unknown encoding "zstd""#);
        assert_eq!(broken.kind(), ErrorKind::Invalid);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_body_survives(bytes in prop_oneof![vec(any::<u8>(), 0..64), any::<String>().prop_map(Vec::from)]) {
            let body = TextBody::new(&bytes, printable);
            let text = body.to_text();

            prop_assert_eq!(text.len(), body.len());
            prop_assert!(!text.is_empty() && text.chars().all(printable));
            prop_assert_eq!(TextBody::decode(text.into_owned(), body.encoding()).unwrap(), bytes);
        }
    }
}
