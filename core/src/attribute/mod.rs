//! [`Attributes`], the named values that travel beside a message's body.

use std::fmt;

use smallvec::SmallVec;

mod limit;
mod pack;
pub mod reserved;
mod value;

#[cfg(feature = "http")]
mod http;

pub use limit::{AttributeLimits, Charset, ValueKinds};
pub use pack::{Misfit, Packed, Packer};
pub use value::Value;

use crate::Str;

/// Four entries are held in place, and so in the one allocation a message makes; most have no more.
const INLINE: usize = 4;

type Entries = SmallVec<[(Str, Value); INLINE]>;

/// The attributes of a message: an ordered multi-map from names to [values](Value).
///
/// Names keep their case and order and may repeat. Look-ups try the exact name first and then ignore
/// ASCII case, so `content-type` finds the `Content-Type` another system wrote. Any name and value can be
/// held; what a broker cannot carry is refused when a message is published, by its [`AttributeLimits`].
///
/// # Examples
///
/// ```
/// use chappe_core::Attributes;
///
/// let mut attributes = Attributes::new();
/// attributes.insert("Content-Type", "text/csv");
/// attributes.append("tag", "a");
/// attributes.append("tag", "b");
///
/// assert_eq!(attributes.get_str("content-type"), Some("text/csv"));
/// assert_eq!(attributes.get_all("tag").count(), 2);
/// ```
#[derive(Clone)]
pub struct Attributes {
    entries: Entries,
    /// What names and values take, kept up to date: it is asked for at every stage of a message's way.
    bytes: usize,
    /// No broker can object to any of the names, as they are [plain](is_plain).
    plain: bool,
}

impl Attributes {
    /// Creates an empty set, without allocating.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: SmallVec::new_const(), bytes: 0, plain: true }
    }

    /// How many values there are, repeated names counted each time.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no attribute at all.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The first value of `name`: of the exact name, else of one that differs in ASCII case only.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        // In one pass, since every layer asks for a name that most messages do not have.
        let mut found = None;
        for (have, value) in &self.entries {
            let have = have.as_str();
            if have == name {
                return Some(value);
            }
            if found.is_none() && have.eq_ignore_ascii_case(name) {
                found = Some(value);
            }
        }
        found
    }

    /// The first value of `name`, compared byte for byte.
    #[must_use]
    pub fn get_exact(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|(have, _)| have.as_str() == name).map(|(_, value)| value)
    }

    /// The first value of `name` if it is text or a number.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// All values of `name` in order: of the exact name where there is one, else ignoring ASCII case.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        let exact = self.get_exact(name).is_some();
        self.entries
            .iter()
            .filter(move |(have, _)| if exact { have.as_str() == name } else { have.eq_ignore_ascii_case(name) })
            .map(|(_, value)| value)
    }

    /// Whether `name` has a value, under the rules of [`get`](Self::get).
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Replaces all values of `name`, whatever their case, by one; the first one's place is kept.
    pub fn insert(&mut self, name: impl Into<Str>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        let Some(first) = self.entries.iter().position(|(have, _)| have.eq_ignore_ascii_case(&name)) else {
            return self.append(name, value);
        };
        let mut at = 0;
        self.entries.retain(|(have, _)| {
            let keep = at <= first || !have.eq_ignore_ascii_case(&name);
            at += 1;
            keep
        });
        self.entries[first] = (name, value);
        self.recount();
    }

    /// Adds a value behind those `name` has already.
    pub fn append(&mut self, name: impl Into<Str>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        self.bytes += size(&name, &value);
        self.plain &= is_plain(&name);
        self.entries.push((name, value));
    }

    /// Removes all values of `name`, whatever their case, and returns the first.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let first = self.entries.iter().position(|(have, _)| have.eq_ignore_ascii_case(name))?;
        let (_, value) = self.entries.remove(first);
        self.entries.retain(|(have, _)| !have.eq_ignore_ascii_case(name));
        self.recount();
        Some(value)
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// All names and values in order.
    #[must_use]
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        self.into_iter()
    }

    /// The bytes all names and values take, which is how the brokers count them.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes
    }

    fn recount(&mut self) {
        self.bytes = self.entries.iter().map(|(name, value)| size(name, value)).sum();
        self.plain = self.entries.iter().all(|(name, _)| is_plain(name));
    }
}

impl Default for Attributes {
    fn default() -> Self {
        Self::new()
    }
}

/// Equal when names, values and order are equal.
impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Eq for Attributes {}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<N: Into<Str>, V: Into<Value>> FromIterator<(N, V)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Self {
        let mut attributes = Self::new();
        attributes.extend(entries);
        attributes
    }
}

impl<N: Into<Str>, V: Into<Value>> Extend<(N, V)> for Attributes {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, entries: I) {
        for (name, value) in entries {
            self.append(name, value);
        }
    }
}

impl<N: Into<Str>, V: Into<Value>, const LEN: usize> From<[(N, V); LEN]> for Attributes {
    fn from(entries: [(N, V); LEN]) -> Self {
        entries.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a Attributes {
    type Item = (&'a Str, &'a Value);
    type IntoIter = Iter<'a>;

    #[inline]
    fn into_iter(self) -> Iter<'a> {
        Iter(self.entries.iter())
    }
}

/// The names and values of [`Attributes`] in order.
#[derive(Clone, Debug)]
pub struct Iter<'a>(std::slice::Iter<'a, (Str, Value)>);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a Str, &'a Value);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (name, value))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

fn size(name: &str, value: &Value) -> usize {
    name.len() + value.as_bytes().len()
}

/// Whether a name is fine for certain: printable ASCII that does not begin as the reserved names do.
fn is_plain(name: &str) -> bool {
    let name = name.as_bytes();
    matches!(name.first(), Some(first) if !matches!(first, b'm' | b'M'))
        && name.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_prefers_the_exact_name_and_then_ignores_case() {
        let attributes = Attributes::from([("Foo", "upper"), ("foo", "lower")]);

        assert_eq!(attributes.get_str("foo"), Some("lower"));
        assert_eq!(attributes.get_str("FOO"), Some("upper"));
        assert_eq!(attributes.get_all("foo").count(), 1);
        assert_eq!(attributes.get_all("fOO").count(), 2);
    }

    #[test]
    fn insert_replaces_every_value_in_the_first_ones_place() {
        let mut attributes = Attributes::from([("a", "1"), ("b", "2"), ("A", "3"), ("c", "4")]);

        attributes.insert("a", "new");

        assert_eq!(attributes, Attributes::from([("a", "new"), ("b", "2"), ("c", "4")]));
    }

    #[test]
    fn a_clone_is_not_changed_through_the_original() {
        let mut original = Attributes::from([("a", "1")]);
        let clone = original.clone();

        original.insert("a", "2");
        original.remove("missing");

        assert_eq!(clone.get_str("a"), Some("1"));
    }

    #[test]
    fn remove_takes_all_values_and_returns_the_first() {
        let mut attributes = Attributes::from([("x", "1"), ("y", "2"), ("X", "3")]);

        assert_eq!(attributes.remove("X"), Some(Value::from("1")));
        assert_eq!(attributes, Attributes::from([("y", "2")]));
        assert_eq!(attributes.remove("X"), None);
    }

    #[test]
    fn the_size_follows_every_change() {
        let mut attributes = Attributes::from([("a", "1"), ("bb", "22"), ("A", "333")]);
        assert_eq!(attributes.size_bytes(), 1 + 1 + 2 + 2 + 1 + 3);

        attributes.insert("a", "4444");
        assert_eq!(attributes.size_bytes(), 1 + 4 + 2 + 2);
        attributes.remove("bb");
        assert_eq!(attributes.size_bytes(), 1 + 4);
        attributes.clear();
        assert_eq!(attributes.size_bytes(), 0);
    }

    #[test]
    fn names_are_plain_until_one_is_not_and_again_without_it() {
        let mut attributes = Attributes::from([("type", "a")]);
        assert!(attributes.plain);

        attributes.append("msg-id", "1");
        assert!(!attributes.plain);
        attributes.remove("msg-id");
        assert!(attributes.plain);
    }

    #[test]
    fn more_entries_than_fit_inline_keep_their_order() {
        let attributes: Attributes = (0..50).map(|n| (format!("name-{n}"), n.to_string())).collect();

        assert_eq!(attributes.len(), 50);
        assert!(attributes.iter().enumerate().all(|(n, (name, _))| name.as_str() == format!("name-{n}")));
    }
}
