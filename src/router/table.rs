//! [`Table`], which finds the route of a message.

use std::collections::HashMap;

use super::predicate::{Is, Names, Test};
use super::{Predicate, RouteConflict};
use crate::{Message, Str};

/// Routes in the order they were added; the first whose predicate is true takes the message.
///
/// Neighbours that ask for values of the same attribute share one look-up, however many they are.
#[derive(Clone)]
pub(super) struct Table<R> {
    steps: Vec<Step>,
    routes: Vec<Entry<R>>,
}

#[derive(Clone)]
struct Entry<R> {
    /// All that is asked of its messages, on whatever level of nesting.
    predicate: Predicate,
    route: R,
}

/// A thing to try. Routes are held by their index, as a layer must be put around each exactly once.
#[derive(Clone)]
enum Step {
    Values(Names, HashMap<Str, usize>),
    Test(Predicate, usize),
    Nest(Predicate, Vec<Self>),
}

impl<R> Table<R> {
    pub(super) fn new() -> Self {
        Self { steps: Vec::new(), routes: Vec::new() }
    }

    /// The route of a message.
    pub(super) fn find(&self, message: &Message) -> Option<&R> {
        find(&self.steps, message).map(|index| &self.routes[index].route)
    }

    /// Adds a route behind the others.
    pub(super) fn push(&mut self, predicate: Predicate, route: R) -> Result<(), RouteConflict> {
        self.check(&predicate)?;
        let index = self.routes.len();
        push(&mut self.steps, predicate.clone(), index);
        self.routes.push(Entry { predicate, route });
        Ok(())
    }

    /// Adds all routes of another table behind these, for messages of which `predicate` is true.
    pub(super) fn nest(&mut self, predicate: Predicate, other: Self) -> Result<(), RouteConflict> {
        let nested = other.routes.into_iter();
        let nested: Vec<_> = nested
            .map(|entry| Entry { predicate: predicate.clone().and(entry.predicate), route: entry.route })
            .collect();
        for entry in &nested {
            self.check(&entry.predicate)?;
        }
        let mut steps = other.steps;
        shift(&mut steps, self.routes.len());
        match predicate {
            Predicate(Test::Any) => self.steps.extend(steps),
            predicate => self.steps.push(Step::Nest(predicate, steps)),
        }
        self.routes.extend(nested);
        Ok(())
    }

    /// The table with each route replaced.
    pub(super) fn map<T>(self, mut change: impl FnMut(R) -> T) -> Table<T> {
        let routes = self.routes.into_iter();
        let routes = routes.map(|Entry { predicate, route }| Entry { predicate, route: change(route) }).collect();
        Table { steps: self.steps, routes }
    }

    /// What the routes ask for, in order.
    pub(super) fn predicates(&self) -> impl Iterator<Item = &Predicate> {
        self.routes.iter().map(|entry| &entry.predicate)
    }

    fn check(&self, second: &Predicate) -> Result<(), RouteConflict> {
        match self.predicates().find(|first| first.0.hides(&second.0)) {
            Some(first) => Err(RouteConflict { first: first.clone(), second: second.clone() }),
            None => Ok(()),
        }
    }
}

fn find(steps: &[Step], message: &Message) -> Option<usize> {
    steps.iter().find_map(|step| match step {
        Step::Values(names, routes) => routes.get(names.find_in(message.attributes())?).copied(),
        Step::Test(predicate, route) => predicate.matches(message).then_some(*route),
        Step::Nest(predicate, steps) => predicate.matches(message).then(|| find(steps, message)).flatten(),
    })
}

fn push(steps: &mut Vec<Step>, predicate: Predicate, route: usize) {
    let (names, values) = match predicate.0 {
        Test::Attribute(names, Is::OneOf(values)) => (names, values),
        test => return steps.push(Step::Test(Predicate(test), route)),
    };
    let values = values.into_iter().map(|value| (value, route));
    match steps.last_mut() {
        // No two routes list the same value, so within a run the order is of no matter.
        Some(Step::Values(have, routes)) if *have == names => routes.extend(values),
        _ => steps.push(Step::Values(names, values.collect())),
    }
}

fn shift(steps: &mut [Step], by: usize) {
    for step in steps {
        match step {
            Step::Values(_, routes) => routes.values_mut().for_each(|route| *route += by),
            Step::Test(_, route) => *route += by,
            Step::Nest(_, steps) => shift(steps, by),
        }
    }
}
