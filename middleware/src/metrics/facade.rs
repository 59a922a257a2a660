//! The `metrics` crate as a [`Meter`].

use std::borrow::Cow;
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use super::meter::{Level, Meter, Tally};
use super::name::{ATTEMPTS_TEXT, DURATION_TEXT, IN_FLIGHT_TEXT, MESSAGES_TEXT, Names, OLDEST_TEXT};
use crate::observe::{End, name};

/// Writes to the recorder that is installed when a destination is first seen.
#[derive(Debug)]
pub(super) struct Facade {
    names: &'static Names,
    system: Cow<'static, str>,
}

impl Facade {
    pub(super) fn new(names: &'static Names, system: Cow<'static, str>) -> Self {
        Self { names, system }
    }

    fn labels(&self, destination: Option<&str>) -> Vec<Label> {
        let mut labels =
            vec![Label::new(name::SYSTEM, self.system.clone()), Label::new(name::OPERATION, self.names.operation)];
        labels.extend(destination.map(|destination| Label::new(name::DESTINATION, destination.to_owned())));
        labels
    }
}

impl Meter for Facade {
    fn tally(&self, destination: Option<&str>, end: End) -> Box<dyn Tally> {
        let mut labels = self.labels(destination);
        labels.extend(end.error_type().map(|kind| Label::new(name::ERROR_TYPE, kind)));
        let names = self.names;
        if names.attempts.is_some() {
            labels.push(Label::new(name::OUTCOME, end.outcome()));
        }
        Box::new(FacadeTally {
            duration: histogram!(names.duration, labels.clone()),
            messages: counter!(names.messages, labels.clone()),
            attempts: names.attempts.map(|name| histogram!(name, labels)),
        })
    }

    fn level(&self, destination: Option<&str>) -> Box<dyn Level> {
        let names = self.names;
        describe_histogram!(names.duration, Unit::Seconds, DURATION_TEXT);
        describe_counter!(names.messages, Unit::Count, MESSAGES_TEXT);
        describe_gauge!(names.in_flight, Unit::Count, IN_FLIGHT_TEXT);
        describe_gauge!(names.oldest, Unit::Seconds, OLDEST_TEXT);
        if let Some(attempts) = names.attempts {
            describe_histogram!(attempts, Unit::Count, ATTEMPTS_TEXT);
        }
        let labels = self.labels(destination);
        Box::new(FacadeLevel {
            in_flight: gauge!(names.in_flight, labels.clone()),
            oldest: gauge!(names.oldest, labels),
        })
    }
}

#[derive(Debug)]
struct FacadeTally {
    duration: Histogram,
    messages: Counter,
    attempts: Option<Histogram>,
}

impl Tally for FacadeTally {
    fn call(&self, took: Duration) {
        self.duration.record(took);
    }

    fn message(&self, attempt: u32) {
        self.messages.increment(1);
        if let Some(attempts) = self.attempts.as_ref().filter(|_| attempt > 0) {
            attempts.record(attempt);
        }
    }
}

#[derive(Debug)]
struct FacadeLevel {
    in_flight: Gauge,
    oldest: Gauge,
}

impl Level for FacadeLevel {
    fn began(&self, messages: usize) {
        self.in_flight.increment(messages as f64);
    }

    fn ended(&self, messages: usize) {
        self.in_flight.decrement(messages as f64);
    }

    fn oldest(&self, age: Duration) {
        self.oldest.set(age);
    }
}
