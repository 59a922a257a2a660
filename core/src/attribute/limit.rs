//! [`AttributeLimits`], what a broker can carry, checked before anything is sent.

use super::{Attributes, Value, reserved};
use crate::{Error, ErrorKind};

/// Which kinds of [`Value`] a broker keeps apart or can carry at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueKinds {
    /// Numbers stay numbers.
    pub number: bool,
    /// Any bytes.
    pub binary: bool,
    /// Present without a value.
    pub null: bool,
}

/// What a broker can carry in attributes. Sizes are in bytes.
///
/// The default is the widest: everything but empty names, control characters in names, and
/// [reserved] names.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AttributeLimits {
    /// How many values a message may have.
    pub max_count: usize,
    /// The longest name.
    pub max_name_bytes: usize,
    /// The longest value.
    pub max_value_bytes: usize,
    /// Whether a name may repeat.
    pub repeated: bool,
    /// The kinds of value carried as they are.
    pub kinds: ValueKinds,
    /// Which characters may stand in a name.
    pub name_chars: Charset,
    /// Which characters may stand in a text value.
    pub value_chars: Charset,
}

/// Which characters may stand in a text.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Charset {
    /// All.
    Any,
    /// All but control characters.
    NoControl,
    /// Those for which this is true.
    Only(fn(char) -> bool),
}

impl Charset {
    /// The first character of `text` that may not stand in it.
    fn refuse(self, text: &str) -> Option<char> {
        match self {
            Self::Any => None,
            Self::NoControl => text.chars().find(|character| character.is_control()),
            Self::Only(allowed) => text.chars().find(|&character| !allowed(character)),
        }
    }
}

impl AttributeLimits {
    /// Checks every attribute.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`]: a name is empty, reserved, repeated or has a character it may not have, or
    ///   a value is of a kind the broker cannot carry.
    /// - [`ErrorKind::TooLarge`]: there are too many, or a name or value is too long.
    ///
    /// The text names the attribute, the limit and the actual size. Nothing has been sent.
    #[inline]
    pub fn check(&self, attributes: &Attributes) -> Result<(), Error> {
        // Nearly every message passes here, and every message pays for it.
        if attributes.plain && self.is_widest() {
            return Ok(());
        }
        self.check_each(attributes)
    }

    /// Whether nothing is limited but names.
    fn is_widest(&self) -> bool {
        let ValueKinds { number, binary, null } = self.kinds;
        let unlimited = self.max_count & self.max_name_bytes & self.max_value_bytes == usize::MAX;
        unlimited
            && (self.repeated && number && binary && null)
            && matches!((self.name_chars, self.value_chars), (Charset::NoControl, Charset::Any))
    }

    fn check_each(&self, attributes: &Attributes) -> Result<(), Error> {
        if attributes.len() > self.max_count {
            return Err(too_large(format!(
                "message has {} attributes, the limit is {}",
                attributes.len(),
                self.max_count
            )));
        }
        for (at, (name, value)) in attributes.iter().enumerate() {
            self.check_name(name)?;
            self.check_value(name, value)?;
            if !self.repeated && attributes.iter().take(at).any(|(earlier, _)| earlier == name) {
                return Err(invalid(format!("attribute {name:?} has several values, one is allowed")));
            }
        }
        Ok(())
    }

    fn check_name(&self, name: &str) -> Result<(), Error> {
        if name.is_empty() {
            return Err(invalid("an attribute has an empty name".to_owned()));
        }
        if name.len() > self.max_name_bytes {
            return Err(too_large(format!(
                "the name of attribute {name:?} has {} bytes, the limit is {}",
                name.len(),
                self.max_name_bytes
            )));
        }
        if let Some(character) = self.name_chars.refuse(name) {
            return Err(invalid(format!("attribute {name:?} has {character:?} in its name, which is not allowed")));
        }
        if reserved::is_reserved(name) {
            return Err(invalid(format!("attribute {name:?} is reserved, choose another name")));
        }
        Ok(())
    }

    fn check_value(&self, name: &str, value: &Value) -> Result<(), Error> {
        let size = value.as_bytes().len();
        if size > self.max_value_bytes {
            return Err(too_large(format!(
                "the value of attribute {name:?} has {size} bytes, the limit is {}",
                self.max_value_bytes
            )));
        }
        let (kind, carried) = match value {
            Value::Text(_) => ("text", true),
            Value::Number(_) => ("a number", self.kinds.number),
            Value::Binary(_) => ("binary", self.kinds.binary),
            Value::Null => ("null", self.kinds.null),
        };
        if !carried {
            return Err(invalid(format!("the value of attribute {name:?} is {kind}, which cannot be carried")));
        }
        if let Some(character) = value.as_str().and_then(|text| self.value_chars.refuse(text)) {
            return Err(invalid(format!("the value of attribute {name:?} has {character:?}, which is not allowed")));
        }
        Ok(())
    }
}

impl Default for AttributeLimits {
    fn default() -> Self {
        Self {
            max_count: usize::MAX,
            max_name_bytes: usize::MAX,
            max_value_bytes: usize::MAX,
            repeated: true,
            kinds: ValueKinds { number: true, binary: true, null: true },
            name_chars: Charset::NoControl,
            value_chars: Charset::Any,
        }
    }
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::Invalid, text)
}

fn too_large(text: String) -> Error {
    Error::new(ErrorKind::TooLarge, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(limits: &AttributeLimits, attributes: &Attributes) -> (ErrorKind, String) {
        let error = limits.check(attributes).expect_err("the attributes should be refused");
        (error.kind(), error.to_string())
    }

    #[test]
    fn control_characters_in_a_name_are_named() {
        let attributes = Attributes::from([("a\u{7}b", "value")]);

        let (kind, text) = refused(&AttributeLimits::default(), &attributes);

        assert_eq!(kind, ErrorKind::Invalid);
        assert!(text.contains(r"'\u{7}'"), "{text}");
    }

    #[test]
    fn limits_and_actual_sizes_are_named() {
        let limits = AttributeLimits { max_count: 1, max_value_bytes: 3, ..AttributeLimits::default() };

        let (_, many) = refused(&limits, &Attributes::from([("a", "1"), ("b", "2")]));
        let (kind, long) = refused(&limits, &Attributes::from([("a", "1234")]));

        assert_eq!(many, "message has 2 attributes, the limit is 1");
        assert_eq!(kind, ErrorKind::TooLarge);
        assert_eq!(long, r#"the value of attribute "a" has 4 bytes, the limit is 3"#);
    }

    #[test]
    fn reserved_empty_and_repeated_names_are_refused() {
        let limits = AttributeLimits { repeated: false, ..AttributeLimits::default() };

        assert_eq!(refused(&limits, &Attributes::from([("msg-id", "1")])).0, ErrorKind::Invalid);
        assert_eq!(refused(&limits, &Attributes::from([("", "1")])).0, ErrorKind::Invalid);
        assert_eq!(refused(&limits, &Attributes::from([("a", "1"), ("a", "2")])).0, ErrorKind::Invalid);
    }

    #[test]
    fn a_kind_the_broker_cannot_carry_is_refused() {
        let kinds = ValueKinds { number: true, binary: false, null: false };
        let limits = AttributeLimits { kinds, ..AttributeLimits::default() };

        let mut attributes = Attributes::new();
        attributes.insert("payload", vec![1, 2]);

        assert_eq!(refused(&limits, &attributes).0, ErrorKind::Invalid);
    }
}
