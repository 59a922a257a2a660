//! [`Handle`], the way to a server that is being served.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Metrics;
use super::metrics::Meters;

/// Shuts a server down, and tells how it is. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Control>);

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum State {
    /// Not serving yet: not awaited, or still connecting to its queues.
    Starting,
    /// Fetching and handling.
    Serving,
    /// Fetching no more; handlers and settlements are being finished.
    Draining,
    /// At its end.
    Stopped,
}

/// How a server is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerHealth {
    /// Where it is in its life.
    pub state: State,
    /// Whether the last fetch of every queue succeeded.
    pub fetching: bool,
    /// What the last fetch that failed said, while `fetching` is false.
    pub error: Option<Arc<str>>,
    /// How long ago any fetch last succeeded; `None` if none has.
    pub last_fetch: Option<Duration>,
    /// How long the oldest unsettled message has been here.
    pub oldest: Option<Duration>,
}

impl Handle {
    pub(super) fn new(control: Arc<Control>) -> Self {
        Self(control)
    }

    /// Starts the shutdown and returns at once: nothing more is fetched, what was not started goes back,
    /// and handlers have the server's [grace](super::Server::grace) to finish.
    ///
    /// May be called from anywhere, a handler included, before serving begins and more than once; a later
    /// call does not shorten or lengthen the grace.
    pub fn shutdown(&self) {
        self.0.request(None);
    }

    /// Starts the shutdown with another grace, counted from now. While a shutdown runs this brings its
    /// deadline forward, never back.
    pub fn shutdown_within(&self, grace: Duration) {
        self.0.request(Some(grace));
    }

    /// Waits until serving has ended. A handler that awaits this waits for itself, so it is cancelled at
    /// the deadline.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn stopped(&self) {
        self.reached(State::Stopped).await;
    }

    /// Waits until the server is connected to its queues, or is past that.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn started(&self) {
        self.reached(State::Serving).await;
    }

    /// Where the server is in its life.
    #[must_use]
    pub fn state(&self) -> State {
        *self.0.state.borrow()
    }

    /// Whether the server is serving and its last fetches succeeded: what a readiness probe asks.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state() == State::Serving && self.0.fetching.lock().unwrap_or_else(PoisonError::into_inner).is_fine()
    }

    /// How the server is: what a liveness probe looks at.
    #[must_use]
    pub fn health(&self) -> ServerHealth {
        let oldest = self.0.load().1;
        let fetching = self.0.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        ServerHealth {
            state: self.state(),
            fetching: fetching.is_fine(),
            error: fetching.failing.iter().flatten().next().cloned(),
            last_fetch: fetching.last.map(|last| last.elapsed()),
            oldest,
        }
    }

    /// What the server has counted so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let mut metrics = self.0.meters.snapshot();
        (metrics.in_flight, metrics.oldest) = self.0.load();
        metrics
    }

    async fn reached(&self, state: State) {
        // The sender lives in what `self` holds, so this cannot fail.
        let _ = self.0.state.subscribe().wait_for(|now| *now >= state).await;
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// What a server and its handles share.
pub(super) struct Control {
    pub(super) meters: Meters,
    state: watch::Sender<State>,
    shutdown: watch::Sender<Option<Shutdown>>,
    fetching: Mutex<Fetching>,
    /// Weak, as what it looks at holds the control.
    probe: OnceLock<Weak<dyn Probe>>,
}

/// A shutdown that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shutdown {
    asked: Instant,
    /// The grace it was first asked with, where that is not the server's own.
    grace: Option<Duration>,
    /// What later calls have brought the deadline forward to.
    at_most: Option<Instant>,
}

impl Shutdown {
    /// When handlers are cancelled, given the server's own grace.
    pub(super) fn deadline(&self, grace: Duration) -> Instant {
        // Too far off to be an instant is as good as a year.
        let year = Duration::from_secs(365 * 24 * 3600);
        let deadline = self.asked + self.grace.unwrap_or(grace).min(year);
        self.at_most.map_or(deadline, |at_most| deadline.min(at_most))
    }
}

/// Tells how many messages are in flight and how long the oldest has been.
pub(super) trait Probe: Send + Sync {
    fn load(&self) -> (usize, Option<Duration>);
}

#[derive(Default)]
struct Fetching {
    failing: Vec<Option<Arc<str>>>,
    last: Option<Instant>,
}

impl Fetching {
    fn is_fine(&self) -> bool {
        self.failing.iter().all(Option::is_none)
    }
}

impl Control {
    pub(super) fn new() -> Self {
        Self {
            meters: Meters::default(),
            state: watch::Sender::new(State::Starting),
            shutdown: watch::Sender::new(None),
            fetching: Mutex::default(),
            probe: OnceLock::new(),
        }
    }

    /// Enters a later state of life; there is no way back.
    pub(super) fn enter(&self, state: State) {
        self.state.send_if_modified(|now| {
            let later = state > *now;
            if later {
                *now = state;
            }
            later
        });
    }

    pub(super) fn attach(&self, probe: Weak<dyn Probe>) {
        // A server is served once, so there was none before.
        let _ = self.probe.set(probe);
    }

    fn load(&self) -> (usize, Option<Duration>) {
        self.probe.get().and_then(Weak::upgrade).map(|probe| probe.load()).unwrap_or_default()
    }

    pub(super) fn shutdown(&self) -> watch::Receiver<Option<Shutdown>> {
        self.shutdown.subscribe()
    }

    pub(super) fn request(&self, grace: Option<Duration>) {
        self.shutdown.send_if_modified(|shutdown| {
            let asked = Instant::now();
            let Some(running) = shutdown else {
                *shutdown = Some(Shutdown { asked, grace, at_most: None });
                return true;
            };
            let Some(deadline) = grace.and_then(|grace| asked.checked_add(grace)) else { return false };
            let earlier = running.at_most.is_none_or(|before| deadline < before);
            if earlier {
                running.at_most = Some(deadline);
            }
            earlier
        });
    }

    /// Takes note of how the last fetch of a queue went.
    pub(super) fn fetched(&self, queue: usize, result: Result<(), Arc<str>>) {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        if fetching.failing.len() <= queue {
            fetching.failing.resize(queue + 1, None);
        }
        match result {
            Ok(()) => {
                fetching.failing[queue] = None;
                fetching.last = Some(Instant::now());
            }
            Err(error) => fetching.failing[queue] = Some(error),
        }
    }
}
