//! [`Stacked`], a list in an attribute, to which layers add and from which they take.

use chappe_core::{Attributes, Str, Value};

/// Which encodings were applied to the body, in that order.
///
/// # Source
///
/// The list is that of HTTP, <https://www.rfc-editor.org/rfc/rfc9110#section-8.4>; the case of the name is
/// what go-msg looks for.
pub const CONTENT_ENCODING: Stacked = Stacked::new("Content-Encoding");

/// What an entry reads as that is not text; no encoding has this name.
const NOT_TEXT: &str = "(not text)";

/// A comma-separated list in an attribute, to which publish layers add an entry that receive layers take
/// away again.
///
/// What was in the attribute before is exactly as it was after a [`push`](Self::push) and a
/// [`pop`](Self::pop): the case of its name, its place, its blanks, and other values of the name.
///
/// # Examples
///
/// ```
/// use chappe_core::Attributes;
/// use chappe_middleware::codec::CONTENT_ENCODING;
///
/// let mut attributes = Attributes::from([("content-encoding", "gzip")]);
///
/// CONTENT_ENCODING.push(&mut attributes, "base64");
/// assert_eq!(attributes.get_str("content-encoding"), Some("gzip, base64"));
/// assert_eq!(CONTENT_ENCODING.last(&attributes), Some("base64"));
///
/// CONTENT_ENCODING.pop(&mut attributes);
/// assert_eq!(attributes.get_str("content-encoding"), Some("gzip"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stacked(&'static str);

impl Stacked {
    /// A list in the attribute `name`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name of the attribute.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// All entries, first added first. Empty ones are left out.
    pub fn entries(self, attributes: &Attributes) -> impl Iterator<Item = &str> {
        self.values(attributes).flat_map(|(_, _, value)| split(value))
    }

    /// The entry that was added last.
    #[must_use]
    pub fn last(self, attributes: &Attributes) -> Option<&str> {
        self.entries(attributes).last()
    }

    /// Adds an entry.
    pub fn push(self, attributes: &mut Attributes, entry: impl Into<Str>) {
        let entry = entry.into();
        match self.values(attributes).last() {
            Some((at, _, Value::Text(before))) => {
                let longer = format!("{before}, {entry}");
                self.replace(attributes, at, Some(longer));
            }
            // Of another kind, which it would lose.
            _ => attributes.append(self.0, entry),
        }
    }

    /// Takes the entry away that was added last.
    pub fn pop(self, attributes: &mut Attributes) {
        let Some((at, _, value)) = self.values(attributes).filter(|(.., value)| split(value).next().is_some()).last()
        else {
            return;
        };
        // Of a list that ends in commas the last entry is before these.
        let text = value.as_str().unwrap_or_default().trim_end_matches([',', ' ', '\t']);
        let shorter = text.rsplit_once(',').map(|(rest, _)| rest.to_owned());
        self.replace(attributes, at, shorter);
    }

    /// The values of the attribute, whatever the case of its name, and where they stand.
    fn values(self, attributes: &Attributes) -> impl Iterator<Item = (usize, &Str, &Value)> {
        let all = attributes.iter().enumerate().map(|(at, (name, value))| (at, name, value));
        all.filter(move |(_, name, _)| name.eq_ignore_ascii_case(self.0))
    }

    /// Puts `text` in place of the value at `at`, or removes that value.
    fn replace(self, attributes: &mut Attributes, at: usize, text: Option<String>) {
        let mut values = self.values(attributes);
        if let (Some((_, name, _)), None) = (values.next(), values.next()) {
            let name = name.clone();
            drop(values);
            match text {
                Some(text) => attributes.insert(name, text),
                None => drop(attributes.remove(self.0)),
            }
            return;
        }
        drop(values);
        let mut text = text.map(Value::from);
        *attributes = attributes
            .iter()
            .enumerate()
            .filter_map(|(here, (name, value))| {
                let value = if here == at { text.take() } else { Some(value.clone()) };
                value.map(|value| (name.clone(), value))
            })
            .collect();
    }
}

fn split(value: &Value) -> impl Iterator<Item = &str> {
    value.as_str().unwrap_or(NOT_TEXT).split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[(&'static str, &'static str)]) -> Attributes {
        values.iter().copied().collect()
    }

    #[test]
    fn a_push_and_a_pop_leave_what_was_there() {
        let mut odd = of(&[("CONTENT-encoding", " gzip ,x,"), ("b", "2"), ("content-encoding", "")]);
        odd.append("Content-Encoding", Value::Null);
        let cases = [
            of(&[]),
            of(&[("a", "1")]),
            of(&[("content-encoding", "")]),
            of(&[("a", "1"), ("content-encoding", "gzip"), ("b", "2")]),
            of(&[("content-encoding", "a"), ("b", "2"), ("Content-Encoding", "c")]),
            odd,
            [("Content-Encoding", Value::from(7))].into_iter().collect(),
        ];

        for before in cases {
            let mut attributes = before.clone();
            CONTENT_ENCODING.push(&mut attributes, "zstd");
            CONTENT_ENCODING.push(&mut attributes, "base64");
            assert_eq!(CONTENT_ENCODING.last(&attributes), Some("base64"), "{before:?}");
            CONTENT_ENCODING.pop(&mut attributes);
            assert_eq!(CONTENT_ENCODING.last(&attributes), Some("zstd"), "{before:?}");
            CONTENT_ENCODING.pop(&mut attributes);
            assert_eq!(attributes, before);
        }
    }

    #[test]
    fn the_entries_are_those_of_all_values_in_order() {
        let attributes = of(&[("content-encoding", "gzip, br"), ("x", "y"), ("Content-Encoding", ",base64,, ")]);

        let entries: Vec<_> = CONTENT_ENCODING.entries(&attributes).collect();

        assert_eq!(entries, ["gzip", "br", "base64"]);
    }

    #[test]
    fn a_pop_takes_the_entry_that_last_tells() {
        let mut attributes = of(&[("content-encoding", "gzip, br ,"), ("Content-Encoding", " ,")]);

        for left in [Some("gzip"), None] {
            CONTENT_ENCODING.pop(&mut attributes);
            assert_eq!(CONTENT_ENCODING.last(&attributes), left);
        }
    }

    #[test]
    fn what_is_not_text_is_no_known_encoding() {
        let mut attributes = Attributes::new();
        attributes.append("Content-Encoding", Value::Null);

        assert_eq!(CONTENT_ENCODING.last(&attributes), Some(NOT_TEXT));
    }
}
