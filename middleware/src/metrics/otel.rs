//! A meter of OpenTelemetry as a [`Meter`].

use std::borrow::Cow;
use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter as OtelMeter};

use super::meter::{Level, Meter, Tally};
use super::name::{
    ATTEMPT_BUCKETS, ATTEMPTS_TEXT, DURATION_BUCKETS, DURATION_TEXT, IN_FLIGHT_TEXT, MESSAGES_TEXT, Names, OLDEST_TEXT,
};
use super::series::Shared;
use crate::observe::{End, name};

/// The instruments of one side.
#[derive(Clone, Debug)]
pub(super) struct Instruments {
    names: &'static Names,
    system: Cow<'static, str>,
    duration: Histogram<f64>,
    messages: Counter<u64>,
    attempts: Option<Histogram<u64>>,
}

impl Instruments {
    /// What the clones of a layer share that writes to `meter`.
    pub(super) fn share(names: &'static Names, system: Cow<'static, str>, meter: &OtelMeter) -> Arc<Shared> {
        let duration = meter.f64_histogram(names.duration).with_unit("s").with_description(DURATION_TEXT);
        let messages = meter.u64_counter(names.messages).with_unit("{message}").with_description(MESSAGES_TEXT);
        let attempts = names.attempts.map(|name| {
            let attempts = meter.u64_histogram(name).with_unit("{attempt}").with_description(ATTEMPTS_TEXT);
            attempts.with_boundaries(ATTEMPT_BUCKETS.to_vec()).build()
        });
        let duration = duration.with_boundaries(DURATION_BUCKETS.to_vec()).build();
        let instruments = Self { names, system, duration, messages: messages.build(), attempts };
        let shared = Arc::new(Shared::new(instruments.clone()));
        instruments.watch(&shared, meter);
        shared
    }

    /// Has what is in flight looked up when it is collected.
    fn watch(self, shared: &Arc<Shared>, meter: &OtelMeter) {
        let names = self.names;
        let here = Arc::new((self, Arc::downgrade(shared)));
        let in_flight = meter.i64_observable_up_down_counter(names.in_flight);
        in_flight
            .with_unit("{message}")
            .with_description(IN_FLIGHT_TEXT)
            .with_callback({
                let here = Arc::clone(&here);
                move |observer| {
                    for (messages, _, labels) in levels(&here) {
                        observer.observe(i64::try_from(messages).unwrap_or(i64::MAX), &labels);
                    }
                }
            })
            .build();
        let oldest = meter.f64_observable_gauge(names.oldest);
        oldest
            .with_unit("s")
            .with_description(OLDEST_TEXT)
            .with_callback(move |observer| {
                for (_, age, labels) in levels(&here) {
                    observer.observe(age.as_secs_f64(), &labels);
                }
            })
            .build();
    }

    fn labels(&self, destination: Option<&str>) -> Vec<KeyValue> {
        let mut labels = vec![
            KeyValue::new(name::SYSTEM, self.system.clone()),
            KeyValue::new(name::OPERATION, self.names.operation),
            KeyValue::new(name::OPERATION_TYPE, self.names.operation),
        ];
        labels.extend(destination.map(|destination| KeyValue::new(name::DESTINATION, destination.to_owned())));
        labels
    }
}

/// What is in flight, with its labels, for as long as there is a layer.
fn levels((instruments, shared): &(Instruments, Weak<Shared>)) -> Vec<(usize, Duration, Vec<KeyValue>)> {
    let all = shared.upgrade().map(|shared| shared.all()).unwrap_or_default();
    let levels = all.iter().map(|series| {
        let labels = instruments.labels(series.destination.as_deref());
        (series.flights.messages(), series.oldest_age().unwrap_or_default(), labels)
    });
    levels.collect()
}

impl Meter for Instruments {
    fn tally(&self, destination: Option<&str>, end: End) -> Box<dyn Tally> {
        let mut labels = self.labels(destination);
        labels.extend(end.error_type().map(|kind| KeyValue::new(name::ERROR_TYPE, kind)));
        if self.attempts.is_some() {
            labels.push(KeyValue::new(name::OUTCOME, end.outcome()));
        }
        Box::new(OtelTally { instruments: self.clone(), labels })
    }

    fn level(&self, _: Option<&str>) -> Box<dyn Level> {
        Box::new(Observed)
    }
}

#[derive(Debug)]
struct OtelTally {
    instruments: Instruments,
    labels: Vec<KeyValue>,
}

impl Tally for OtelTally {
    fn call(&self, took: Duration) {
        self.instruments.duration.record(took.as_secs_f64(), &self.labels);
    }

    fn message(&self, attempt: u32) {
        self.instruments.messages.add(1, &self.labels);
        if let Some(attempts) = self.instruments.attempts.as_ref().filter(|_| attempt > 0) {
            attempts.record(attempt.into(), &self.labels);
        }
    }
}

/// Nothing to write: it is looked up.
#[derive(Debug)]
struct Observed;

impl Level for Observed {
    fn began(&self, _: usize) {}

    fn ended(&self, _: usize) {}

    fn oldest(&self, _: Duration) {}
}
