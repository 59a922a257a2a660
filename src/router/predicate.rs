//! [`Predicate`], what a route asks of a message.

use std::fmt;

use super::condition::{Check, Condition, Is, Names};
use crate::extract::{Attr, Source, Type};
use crate::{Message, Str};

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
pub struct Predicate(pub(super) Condition);

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
    Predicate(Condition::When(Check::new(check)))
}

impl Predicate {
    /// True of every message.
    #[must_use]
    pub const fn any() -> Self {
        Self(Condition::Any)
    }

    /// Whether it is true of this message.
    #[must_use]
    pub fn matches(&self, message: &Message) -> bool {
        self.0.matches(message)
    }

    /// True where both are.
    #[must_use]
    pub fn and(self, other: impl Into<Self>) -> Self {
        let mut conditions = Vec::new();
        for condition in [self.0, other.into().0] {
            match condition {
                Condition::Any => {}
                Condition::All(more) => conditions.extend(more),
                condition => conditions.push(condition),
            }
        }
        Self(match conditions.len() {
            0 => Condition::Any,
            1 => conditions.remove(0),
            _ => Condition::All(conditions),
        })
    }

    /// True where one of the two is.
    #[must_use]
    pub fn or(self, other: impl Into<Self>) -> Self {
        let mut conditions = Vec::new();
        for condition in [self.0, other.into().0] {
            match condition {
                Condition::Either(more) => conditions.extend(more),
                condition => conditions.push(condition),
            }
        }
        Self(Condition::Either(conditions))
    }
}

/// True where the predicate is not.
impl std::ops::Not for Predicate {
    type Output = Self;

    fn not(self) -> Self {
        Self(Condition::Not(Box::new(self.0)))
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
        Predicate(Condition::Attribute(Names::One(self.0.into()), is))
    }
}

impl Type {
    /// True of messages of this type; `Type("order.created")` is short for it.
    pub fn eq(kind: impl Into<Str>) -> Predicate {
        Self::one_of([kind])
    }

    /// True of messages of one of these types.
    pub fn one_of<V: Into<Str>>(kinds: impl IntoIterator<Item = V>) -> Predicate {
        Predicate(Condition::Attribute(Names::Type, Is::one_of(kinds)))
    }

    /// True of messages of a type that starts like this.
    pub fn prefix(prefix: impl Into<Str>) -> Predicate {
        Predicate(Condition::Attribute(Names::Type, Is::Prefix(prefix.into())))
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
        Predicate(Condition::Source(Is::one_of(sources)))
    }

    /// True of messages from one whose name starts like this.
    pub fn prefix(prefix: impl Into<Str>) -> Predicate {
        Predicate(Condition::Source(Is::Prefix(prefix.into())))
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
