//! [`InFlight`], what is in flight in a layer.

use std::sync::Arc;
use std::time::Duration;

use super::series::Shared;

/// What is in flight in a layer and all services it made; handed out by the layer.
///
/// A health check looks at [`oldest_age`](Self::oldest_age): a handler that hangs shows there first.
#[derive(Clone, Debug)]
pub struct InFlight(Arc<Shared>);

impl InFlight {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    /// How many messages are being handled, or published.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.0.all().iter().map(|series| series.flights.messages()).sum()
    }

    /// For how long the oldest of them has been; `None` if there is none.
    #[must_use]
    pub fn oldest_age(&self) -> Option<Duration> {
        self.0.all().iter().filter_map(|series| series.oldest_age()).max()
    }

    /// Writes the age of the oldest to the `metrics` recorder, for each destination. A gauge there is only as
    /// true as when it was last set, which happens whenever a call ends: call this before the metrics are
    /// rendered, or now and then. OpenTelemetry looks it up by itself.
    pub fn report(&self) {
        self.0.all().iter().for_each(|series| series.report());
    }
}
