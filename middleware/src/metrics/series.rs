//! [`Series`], all that is measured at one destination.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::flight::{Flights, Ticket};
use super::meter::{Level, Meter, Tally};
use crate::observe::{End, Ending, Watch};

/// The most destinations that are told apart, so that a system with a subject for each customer does not
/// grow a series for each. The others are one.
const MAX_DESTINATIONS: usize = 100;

/// What the others are called.
const OTHERS: &str = "_OTHER";

/// What the clones of a layer share.
pub(super) struct Shared {
    meter: Arc<dyn Meter>,
    all: Mutex<Vec<Arc<Series>>>,
}

/// All that is measured at one destination.
pub(super) struct Series {
    pub(super) destination: Option<Box<str>>,
    pub(super) flights: Flights,
    meter: Arc<dyn Meter>,
    level: Box<dyn Level>,
    tallies: Box<[OnceLock<Box<dyn Tally>>]>,
}

impl Shared {
    pub(super) fn new(meter: impl Meter + 'static) -> Self {
        Self { meter: Arc::new(meter), all: Mutex::default() }
    }

    /// The series of a destination.
    pub(super) fn series(&self, destination: Option<&str>) -> Arc<Series> {
        let mut all = self.lock();
        if let Some(series) = all.iter().find(|series| series.is_of(destination)) {
            return Arc::clone(series);
        }
        if all.len() >= MAX_DESTINATIONS && destination != Some(OTHERS) {
            drop(all);
            return self.series(Some(OTHERS));
        }
        let series = Arc::new(Series::new(destination, Arc::clone(&self.meter)));
        all.push(Arc::clone(&series));
        series
    }

    /// All series there are.
    pub(super) fn all(&self) -> Vec<Arc<Series>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Series>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Series {
    fn new(destination: Option<&str>, meter: Arc<dyn Meter>) -> Self {
        Self {
            destination: destination.map(Into::into),
            flights: Flights::default(),
            level: meter.level(destination),
            meter,
            tallies: (0..End::COUNT).map(|_| OnceLock::new()).collect(),
        }
    }

    pub(super) fn is_of(&self, destination: Option<&str>) -> bool {
        self.destination.as_deref() == destination
    }

    /// For how long the oldest call in flight has been.
    pub(super) fn oldest_age(&self) -> Option<Duration> {
        self.flights.oldest().map(|began| began.elapsed())
    }

    /// Writes how old the oldest call in flight is by now.
    pub(super) fn report(&self) {
        self.level.oldest(self.oldest_age().unwrap_or_default());
    }

    fn tally(&self, end: End) -> &dyn Tally {
        &**self.tallies[end.index()].get_or_init(|| self.meter.tally(self.destination.as_deref(), end))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("meter", &self.meter).finish_non_exhaustive()
    }
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { destination, flights, .. } = self;
        f.debug_struct("Series").field("destination", destination).field("flights", flights).finish_non_exhaustive()
    }
}

/// A call that is being measured.
#[derive(Debug)]
pub(super) struct MeasureWatch {
    series: Arc<Series>,
    began: Instant,
    ticket: Ticket,
    attempts: Attempts,
}

/// Which attempt each message is.
#[derive(Debug)]
pub(super) enum Attempts {
    One(u32),
    Each(Vec<u32>),
}

impl Attempts {
    fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(attempt) => std::slice::from_ref(attempt),
            Self::Each(attempts) => attempts,
        }
    }
}

impl MeasureWatch {
    pub(super) fn begin(series: Arc<Series>, attempts: Attempts) -> Self {
        let began = Instant::now();
        let messages = attempts.as_slice().len();
        let ticket = series.flights.begin(began, messages);
        series.level.began(messages);
        Self { series, began, ticket, attempts }
    }
}

impl Watch for MeasureWatch {
    fn within<T>(&mut self, part: impl FnOnce() -> T) -> T {
        part()
    }

    fn end(&mut self, ending: Ending<'_>) {
        let Self { series, began, ticket, attempts } = self;
        let now = Instant::now();
        let attempts = attempts.as_slice();
        let whole = series.tally(ending.end());
        whole.call(now.saturating_duration_since(*began));
        match ending {
            Ending::Each(results) => {
                let mut results = results.iter();
                for attempt in attempts {
                    // The server tries again what has no result.
                    let end = results.next().map_or(End::MISSING, |result| Ending::of_one(result).end());
                    series.tally(end).message(*attempt);
                }
            }
            _ => attempts.iter().for_each(|attempt| whole.message(*attempt)),
        }

        let oldest = series.flights.end(ticket);
        series.level.ended(attempts.len());
        series.level.oldest(oldest.map_or(Duration::ZERO, |began| now.saturating_duration_since(began)));
    }
}
