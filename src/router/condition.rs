//! [`Condition`], what a predicate is made of.

use std::fmt;
use std::sync::Arc;

use crate::extract::TYPE_ATTRIBUTES;
use crate::{Attributes, Message, Str};

#[derive(Clone, PartialEq)]
pub(super) enum Condition {
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

impl Condition {
    pub(super) fn matches(&self, message: &Message) -> bool {
        match self {
            Self::Any => true,
            Self::Attribute(names, Is::Present) => names.exist_in(message.attributes()),
            Self::Attribute(names, is) => names.find_in(message.attributes()).is_some_and(|text| is.holds(text)),
            Self::Source(is) => message.source().is_some_and(|source| is.holds(source)),
            Self::All(conditions) => conditions.iter().all(|condition| condition.matches(message)),
            Self::Either(conditions) => conditions.iter().any(|condition| condition.matches(message)),
            Self::Not(condition) => !condition.matches(message),
            Self::When(check) => (check.0)(message),
        }
    }

    /// Whether, standing first, this keeps messages from one that stands later: all of them, or all of those
    /// with a value both of them list. Where that cannot be told the answer is no.
    pub(super) fn hides(&self, later: &Self) -> bool {
        match (self, later) {
            (Self::Any, _) => true,
            (Self::All(conditions), _) => conditions.iter().all(|condition| condition.hides(later)),
            (_, Self::All(conditions)) => self == later || conditions.iter().any(|condition| self.hides(condition)),
            (Self::Either(conditions), _) => self == later || conditions.iter().any(|condition| condition.hides(later)),
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
            Self::All(conditions) | Self::Either(conditions) => {
                conditions.iter().for_each(|condition| condition.each_name(see))
            }
            Self::Not(condition) => condition.each_name(see),
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
    pub(super) fn one_of<V: Into<Str>>(values: impl IntoIterator<Item = V>) -> Self {
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

impl Check {
    pub(super) fn new(check: impl Fn(&Message) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(check))
    }
}

impl PartialEq for Check {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.0), Arc::as_ptr(&other.0))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, conditions: &[Self], word: &str| {
            conditions.iter().enumerate().try_for_each(|(at, condition)| match (at, condition) {
                (0, condition) => write!(f, "{condition}"),
                (_, condition) => write!(f, " {word} {condition}"),
            })
        };
        match self {
            Self::Any => f.write_str("any message"),
            Self::Attribute(names, is) => write!(f, "{names} {is}"),
            Self::Source(is) => write!(f, "source {is}"),
            Self::All(conditions) => list(f, conditions, "and"),
            Self::Either(conditions) => {
                f.write_str("(")?;
                list(f, conditions, "or")?;
                f.write_str(")")
            }
            Self::Not(condition) => write!(f, "not ({condition})"),
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
