//! [`RouteConflict`], when a route can never be reached.

use std::error::Error as StdError;
use std::fmt;

use super::Predicate;

/// A route stands behind another that takes its messages: the two are equal, or the first asks for less.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RouteConflict {
    /// What the route that stands first asks for.
    pub first: Predicate,
    /// What the one asks for that would stand behind it.
    pub second: Predicate,
}

impl fmt::Display for RouteConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, second } = self;
        if first == second {
            return write!(f, "two routes for {second}: remove one of them, or tell them apart with `and`");
        }
        write!(f, "the route for {second} is hidden by the one for {first} before it: put the narrower one first")
    }
}

impl StdError for RouteConflict {}
