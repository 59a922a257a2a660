//! [`Table`], which finds the route of a message.

use super::condition::{Condition, Is, Names};
use super::{Predicate, RouteConflict};
use crate::{Message, Str};

/// Routes in the order they were added; the first whose predicate is true takes the message.
///
/// Neighbours that compare the same attribute share one look-up, however many they are.
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
    Compare(Compare),
    Test(Predicate, usize),
    Nest(Predicate, Vec<Self>),
}

/// Routes that compare the same attribute. The check that none hides another makes their order of no matter:
/// no value is listed twice, and one that a prefix fits stands before the prefix or not at all.
#[derive(Clone)]
struct Compare {
    names: Names,
    /// In the order of the values.
    values: Vec<(Str, usize)>,
    prefixes: Vec<(Str, usize)>,
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
            Predicate(Condition::Any) => self.steps.extend(steps),
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

impl Compare {
    fn find(&self, message: &Message) -> Option<usize> {
        let text = self.names.find_in(message.attributes())?;
        match self.values.binary_search_by(|(value, _)| value.as_str().cmp(text)) {
            Ok(at) => Some(self.values[at].1),
            Err(_) => {
                self.prefixes.iter().find(|(prefix, _)| text.starts_with(prefix.as_str())).map(|(_, route)| *route)
            }
        }
    }

    fn push(&mut self, is: Is, route: usize) {
        match is {
            Is::OneOf(values) => {
                self.values.extend(values.into_iter().map(|value| (value, route)));
                self.values.sort();
            }
            Is::Prefix(prefix) => self.prefixes.push((prefix, route)),
            Is::Present => unreachable!("what is no text is not compared"),
        }
    }
}

fn find(steps: &[Step], message: &Message) -> Option<usize> {
    steps.iter().find_map(|step| match step {
        Step::Compare(compare) => compare.find(message),
        Step::Test(predicate, route) => predicate.matches(message).then_some(*route),
        Step::Nest(predicate, steps) => predicate.matches(message).then(|| find(steps, message)).flatten(),
    })
}

fn push(steps: &mut Vec<Step>, predicate: Predicate, route: usize) {
    let (names, is) = match predicate.0 {
        Condition::Attribute(names, is @ (Is::OneOf(_) | Is::Prefix(_))) => (names, is),
        test => return steps.push(Step::Test(Predicate(test), route)),
    };
    match steps.last_mut() {
        Some(Step::Compare(run)) if run.names == names => run.push(is, route),
        _ => {
            let mut run = Compare { names, values: Vec::new(), prefixes: Vec::new() };
            run.push(is, route);
            steps.push(Step::Compare(run));
        }
    }
}

fn shift(steps: &mut [Step], by: usize) {
    for step in steps {
        match step {
            Step::Compare(run) => run.values.iter_mut().chain(&mut run.prefixes).for_each(|(_, route)| *route += by),
            Step::Test(_, route) => *route += by,
            Step::Nest(_, steps) => shift(steps, by),
        }
    }
}
