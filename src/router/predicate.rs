//! [`Predicate`], what a route asks of a message.

use std::fmt;
use std::sync::Arc;

use crate::extract::{Attr, Source, TYPE_ATTRIBUTES, Type};
use crate::{Attributes, Message, Str};

/// What a route asks of a message.
///
/// | made by | true of messages |
/// |---|---|
/// | [`Attr("tenant").eq("acme")`](Attr::eq), [`one_of`](Attr::one_of), [`prefix`](Attr::prefix), [`exists`](Attr::exists) | with such an attribute |
/// | [`Type("order.created")`](Type), [`Type::eq`], [`one_of`](Type::one_of), [`prefix`](Type::prefix) | of that type |
/// | [`Source::eq("jobs")`](Source::eq), [`one_of`](Source::one_of), [`prefix`](Source::prefix) | that came from there |
/// | [`when(\|message\| …)`](when) | of which the closure says so |
/// | [`and`](Self::and), [`or`](Self::or), `!` | of which both, one or the opposite is true |
///
/// Values are compared byte for byte; of several values of a name the first counts.
#[derive(Clone, PartialEq)]
pub struct Predicate(pub(super) Test);

#[derive(Clone, PartialEq)]
pub(super) enum Test {
    Any,
    /// The first of the names that a message has counts.
    Attribute(Names, Is),
    Source(Is),
    All(Vec<Self>),
    Either(Vec<Self>),
    Not(Box<Self>),
    When(Check),
}

/// The names an attribute goes by.
#[derive(Clone, PartialEq)]
pub(super) enum Names {
    One(Str),
    Type,
}

#[derive(Clone, PartialEq)]
pub(super) enum Is {
    Present,
    OneOf(Vec<Str>),
    Prefix(Str),
}

#[derive(Clone)]
pub(super) struct Check(Arc<dyn Fn(&Message) -> bool + Send + Sync>);

/// Asks a closure of the message. It is called for every message that no earlier route takes.
///
/// # Examples
///
/// ```
/// use chappe::Router;
/// use chappe::router::when;
///
/// async fn on_upload(body: bytes::Bytes) {
///     # let _ = body;
/// }
///
/// let router = Router::<()>::new().route(when(|message| message.body().len() > 1024), on_upload);
/// ```
pub fn when(check: impl Fn(&Message) -> bool + Send + Sync + 'static) -> Predicate {
    Predicate(Test::When(Check(Arc::new(check))))
}

impl Predicate {
    /// True of every message.
    #[must_use]
    pub const fn any() -> Self {
        Self(Test::Any)
    }

    /// Whether it is true of this message.
    #[must_use]
    pub fn matches(&self, message: &Message) -> bool {
        self.0.matches(message)
    }

    /// True where both are.
    #[must_use]
    pub fn and(self, other: impl Into<Self>) -> Self {
        let mut tests = Vec::new();
        for test in [self.0, other.into().0] {
            match test {
                Test::Any => {}
                Test::All(more) => tests.extend(more),
                test => tests.push(test),
            }
        }
        Self(if tests.len() == 1 { tests.remove(0) } else { Test::All(tests) })
    }

    /// True where one of the two is.
    #[must_use]
    pub fn or(self, other: impl Into<Self>) -> Self {
        let mut tests = Vec::new();
        for test in [self.0, other.into().0] {
            match test {
                Test::Either(more) => tests.extend(more),
                test => tests.push(test),
            }
        }
        Self(Test::Either(tests))
    }
}

/// True where the predicate is not.
impl std::ops::Not for Predicate {
    type Output = Self;

    fn not(self) -> Self {
        Self(Test::Not(Box::new(self.0)))
    }
}

impl<N: Into<Str>> Attr<N> {
    /// True of messages with this value.
    pub fn eq(self, value: impl Into<Str>) -> Predicate {
        self.one_of([value])
    }

    /// True of messages with one of these values.
    pub fn one_of<V: Into<Str>>(self, values: impl IntoIterator<Item = V>) -> Predicate {
        self.is(Is::one_of(values))
    }

    /// True of messages with a value that starts like this.
    pub fn prefix(self, prefix: impl Into<Str>) -> Predicate {
        self.is(Is::Prefix(prefix.into()))
    }

    /// True of messages that have the attribute, whatever its value, binary and null ones included.
    pub fn exists(self) -> Predicate {
        self.is(Is::Present)
    }

    fn is(self, is: Is) -> Predicate {
        Predicate(Test::Attribute(Names::One(self.0.into()), is))
    }
}

impl Type {
    /// True of messages of this type; `Type("order.created")` is short for it.
    pub fn eq(kind: impl Into<Str>) -> Predicate {
        Self::one_of([kind])
    }

    /// True of messages of one of these types.
    pub fn one_of<V: Into<Str>>(kinds: impl IntoIterator<Item = V>) -> Predicate {
        Predicate(Test::Attribute(Names::Type, Is::one_of(kinds)))
    }

    /// True of messages of a type that starts like this.
    pub fn prefix(prefix: impl Into<Str>) -> Predicate {
        Predicate(Test::Attribute(Names::Type, Is::Prefix(prefix.into())))
    }
}

impl<T: Into<Str>> From<Type<T>> for Predicate {
    fn from(kind: Type<T>) -> Self {
        Type::eq(kind.0)
    }
}

impl Source {
    /// True of messages from this queue, subscription or topic.
    pub fn eq(source: impl Into<Str>) -> Predicate {
        Self::one_of([source])
    }

    /// True of messages from one of these.
    pub fn one_of<V: Into<Str>>(sources: impl IntoIterator<Item = V>) -> Predicate {
        Predicate(Test::Source(Is::one_of(sources)))
    }

    /// True of messages from one whose name starts like this.
    pub fn prefix(prefix: impl Into<Str>) -> Predicate {
        Predicate(Test::Source(Is::Prefix(prefix.into())))
    }
}

impl Test {
    fn matches(&self, message: &Message) -> bool {
        match self {
            Self::Any => true,
            Self::Attribute(names, Is::Present) => names.exist_in(message.attributes()),
            Self::Attribute(names, is) => names.find_in(message.attributes()).is_some_and(|text| is.holds(text)),
            Self::Source(is) => message.head().source.as_deref().is_some_and(|source| is.holds(source)),
            Self::All(tests) => tests.iter().all(|test| test.matches(message)),
            Self::Either(tests) => tests.iter().any(|test| test.matches(message)),
            Self::Not(test) => !test.matches(message),
            Self::When(check) => (check.0)(message),
        }
    }

    /// Whether, standing first, this keeps messages from one that stands later: all of them, or all of those
    /// with a value both of them list. Where that cannot be told the answer is no.
    pub(super) fn hides(&self, later: &Self) -> bool {
        match (self, later) {
            (Self::Any, _) => true,
            (Self::All(tests), _) => tests.iter().all(|test| test.hides(later)),
            (_, Self::All(tests)) => self == later || tests.iter().any(|test| self.hides(test)),
            (Self::Either(tests), _) => self == later || tests.iter().any(|test| test.hides(later)),
            (Self::Attribute(names, is), Self::Attribute(later_names, later_is)) => {
                names.hide(later_names) && is.hides(later_is)
            }
            (Self::Source(is), Self::Source(later_is)) => is.hides(later_is),
            _ => self == later,
        }
    }

    /// Calls back with each attribute that is looked at.
    pub(super) fn each_name(&self, see: &mut impl FnMut(&Names)) {
        match self {
            Self::Attribute(names, _) => see(names),
            Self::All(tests) | Self::Either(tests) => tests.iter().for_each(|test| test.each_name(see)),
            Self::Not(test) => test.each_name(see),
            Self::Any | Self::Source(_) | Self::When(_) => {}
        }
    }
}

impl Names {
    pub(super) fn find_in<'a>(&self, attributes: &'a Attributes) -> Option<&'a str> {
        match self {
            Self::One(name) => attributes.get_str(name),
            Self::Type => TYPE_ATTRIBUTES.iter().find_map(|name| attributes.get_str(name)),
        }
    }

    fn exist_in(&self, attributes: &Attributes) -> bool {
        match self {
            Self::One(name) => attributes.contains(name),
            Self::Type => TYPE_ATTRIBUTES.iter().any(|name| attributes.contains(name)),
        }
    }

    /// Whether what is true of the value `later` finds is true of the value found here.
    fn hide(&self, later: &Self) -> bool {
        match (self, later) {
            // The type is looked for there first.
            (Self::Type, Self::One(name)) => name == TYPE_ATTRIBUTES[0],
            _ => self == later,
        }
    }
}

impl Is {
    fn one_of<V: Into<Str>>(values: impl IntoIterator<Item = V>) -> Self {
        Self::OneOf(values.into_iter().map(Into::into).collect())
    }

    fn holds(&self, text: &str) -> bool {
        match self {
            Self::Present => true,
            Self::OneOf(values) => values.iter().any(|value| value.as_str() == text),
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
        }
    }

    fn hides(&self, later: &Self) -> bool {
        match (self, later) {
            (Self::Present, _) => true,
            (_, Self::OneOf(values)) => values.iter().any(|value| self.holds(value)),
            (Self::Prefix(prefix), Self::Prefix(longer)) => longer.starts_with(prefix.as_str()),
            _ => false,
        }
    }
}

impl PartialEq for Check {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.0), Arc::as_ptr(&other.0))
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Predicate({self})")
    }
}

/// As errors name a route.
impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, tests: &[Self], word: &str| {
            tests.iter().enumerate().try_for_each(|(at, test)| match (at, test) {
                (0, test) => write!(f, "{test}"),
                (_, test) => write!(f, " {word} {test}"),
            })
        };
        match self {
            Self::Any => f.write_str("any message"),
            Self::Attribute(names, is) => write!(f, "{names} {is}"),
            Self::Source(is) => write!(f, "source {is}"),
            Self::All(tests) => list(f, tests, "and"),
            Self::Either(tests) => {
                f.write_str("(")?;
                list(f, tests, "or")?;
                f.write_str(")")
            }
            Self::Not(test) => write!(f, "not ({test})"),
            Self::When(_) => f.write_str("a closure"),
        }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(name) => write!(f, "attribute {name}"),
            Self::Type => f.write_str("type"),
        }
    }
}

impl fmt::Display for Is {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.write_str("exists"),
            Self::Prefix(prefix) => write!(f, "starts with {prefix:?}"),
            Self::OneOf(values) => match values.as_slice() {
                [value] => write!(f, "= {value:?}"),
                values => write!(f, "is one of {values:?}"),
            },
        }
    }
}
