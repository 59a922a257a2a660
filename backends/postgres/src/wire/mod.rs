//! Messages as rows: attributes of every kind in an array of text, and what else there are columns for.

mod decode;
mod encode;

pub(crate) use decode::Decoder;
pub(crate) use encode::{Column, Columns, MAX_DELAY, check};

/// The letters of [`kinds`](Columns): what a value is, where not all are text.
mod kind {
    pub(super) const TEXT: char = 't';
    pub(super) const NUMBER: char = 'n';
    pub(super) const BYTES: char = 'b';
    /// Text that PostgreSQL has no form for, as it has a NUL.
    pub(super) const ENCODED: char = 'e';
    /// What is called a number and has one as well.
    pub(super) const ENCODED_NUMBER: char = 'm';
}

#[cfg(test)]
mod tests {
    use chappe_core::{Attributes, Value};
    use proptest::prelude::*;

    use super::decode::attributes_of;
    use super::encode::array;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<String>().prop_map(Value::from),
            "[ -~\\\\\"{},NUL\u{0}]{0,12}".prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[0-9\u{0}]{0,3}".prop_map(|digits| Value::Number(digits.into())),
            any::<Vec<u8>>().prop_map(Value::from),
            Just(Value::Null),
        ]
    }

    fn attributes() -> impl Strategy<Value = Attributes> {
        proptest::collection::vec(("[^\\p{Cc}]{1,12}", value()), 0..12).prop_map(|pairs| pairs.into_iter().collect())
    }

    /// Reads an array in text form as PostgreSQL does, where everything but `NULL` is in quotes.
    fn elements(text: &str) -> Vec<Option<String>> {
        let mut elements = Vec::new();
        let mut rest = text.strip_prefix('{').unwrap();
        while rest != "}" {
            if let Some(behind) = rest.strip_prefix("NULL") {
                elements.push(None);
                rest = behind;
            } else {
                let mut element = String::new();
                let mut characters = rest.strip_prefix('"').unwrap().chars();
                loop {
                    match characters.next().unwrap() {
                        '"' => break,
                        '\\' => element.push(characters.next().unwrap()),
                        plain => element.push(plain),
                    }
                }
                elements.push(Some(element));
                rest = characters.as_str();
            }
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        elements
    }

    proptest! {
        #[test]
        fn attributes_survive(attributes in attributes()) {
            let (text, kinds) = array(&attributes);
            let elements = elements(&text);
            let borrowed = elements.iter().map(Option::as_deref).collect::<Vec<_>>();

            prop_assert_eq!(attributes_of(&borrowed, kinds.as_deref()).unwrap(), attributes);
        }
    }

    #[test]
    fn text_alone_needs_no_kinds_and_reads_as_it_was_written() {
        let attributes = Attributes::from([("type", "a \"b\""), ("path", "c\\d")]);

        let (text, kinds) = array(&attributes);

        assert_eq!(kinds, None);
        assert_eq!(text, r#"{"type","a \"b\"","path","c\\d"}"#);
    }
}
