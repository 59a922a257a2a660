//! [`Harness`], what a backend author writes to run the suite.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chappe_core::backend::{Publisher, Queue};
use chappe_core::{Error, Topic};
use futures_util::future::BoxFuture;

use crate::Faults;

/// Makes queues for the suite to try a backend on.
///
/// What the backend can do is read from its [`Capabilities`](chappe_core::backend::Capabilities) and
/// [`PublishCapabilities`](chappe_core::backend::PublishCapabilities); what a test cannot read there is said
/// here. Every case gets a queue of its own, so cases neither see nor disturb each other.
pub trait Harness: Send + Sync + 'static {
    /// The queue.
    type Queue: Queue;
    /// What publishes batches to it.
    type Publisher: Publisher;
    /// What publishes to it as users do, with whatever layers are to be shown to change nothing.
    type Topic: Topic;

    /// Makes an empty queue by the wishes of a case.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](chappe_core::ErrorKind::Unsupported), with the reason, where the backend
    /// has no such queue: the case is skipped. Any other error fails it.
    fn queue(&self, setup: &Setup) -> impl Future<Output = Result<FixtureOf<Self>, Error>> + Send;

    /// How fast the broker is. The default suits a broker on this machine, and a paused clock.
    fn timing(&self) -> Timing {
        Timing::default()
    }

    /// How many messages the heavy cases send. The default is 10 000, and fewer only where they cost money.
    fn volume(&self) -> usize {
        10_000
    }

    /// How many cases run at once. The default is 1, the only sensible number under a paused clock.
    fn parallel(&self) -> usize {
        1
    }

    /// Cases the broker cannot pass, by name, each with the reason. They are reported as skipped; a name
    /// that is no case fails the run.
    fn exemptions(&self) -> &[(&'static str, &'static str)] {
        &[]
    }
}

/// The fixture of a harness.
pub type FixtureOf<H> = Fixture<<H as Harness>::Queue, <H as Harness>::Publisher, <H as Harness>::Topic>;

/// What a case wants its queue to be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Setup {
    /// A name no other queue has: lower-case letters, digits and hyphens, at most 40.
    pub name: String,
    /// How long a lease lasts, where the broker has leases and lets one choose.
    pub lease: Duration,
    /// Whether there is a dead letter, where the broker has one.
    pub dead_letter: bool,
    /// Whether messages of one key are kept in order, where the broker can.
    pub ordered: bool,
}

/// How fast a broker is, and how patient the suite is with it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Timing {
    /// The shortest lease the suite may set up, long enough that a round trip fits in many times.
    pub lease: Duration,
    /// The lease of cases that are not about leases.
    pub long_lease: Duration,
    /// A delay the broker can keep, several times its resolution.
    pub delay: Duration,
    /// How much later than due a message may come.
    pub slack: Duration,
    /// How long a message that must come may take.
    pub patience: Duration,
    /// How long the suite looks for a message that must not come.
    pub silence: Duration,
    /// How soon what has nothing to do stops when it is told to.
    pub stop: Duration,
    /// How long a whole case may take.
    pub limit: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(2),
            long_lease: Duration::from_secs(30),
            delay: Duration::from_secs(1),
            slack: Duration::from_secs(2),
            patience: Duration::from_secs(10),
            silence: Duration::from_millis(500),
            stop: Duration::from_secs(2),
            limit: Duration::from_secs(90),
        }
    }
}

type Open<Q> = Box<dyn Fn() -> BoxFuture<'static, Result<Q, Error>> + Send + Sync>;

/// A queue under test, and the ways to get at it. Dropped when the case is over.
pub struct Fixture<Q, P, T> {
    pub(crate) open: Open<Q>,
    pub(crate) publisher: P,
    // In a mutex because a topic need not be `Sync`.
    pub(crate) topic: Mutex<T>,
    pub(crate) open_dead_letter: Option<Open<Q>>,
    pub(crate) faults: Faults,
    pub(crate) kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl<Q: Queue, P: Publisher, T: Topic> Fixture<Q, P, T> {
    /// A fixture whose `open` makes another handle to the queue each time, as another process would, if
    /// that is possible. The suite closes what it opens.
    pub fn new<F>(publisher: P, topic: T, open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Q, Error>> + Send + 'static,
    {
        Self {
            open: boxed(open),
            publisher,
            topic: Mutex::new(topic),
            open_dead_letter: None,
            faults: Faults::new(),
            kept: Vec::new(),
        }
    }

    /// What publishes batches.
    pub fn publisher(&self) -> &P {
        &self.publisher
    }

    /// How the dead letter is opened, as a queue.
    #[must_use]
    pub fn dead_letter<F>(mut self, open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Q, Error>> + Send + 'static,
    {
        self.open_dead_letter = Some(boxed(open));
        self
    }

    /// What can be broken.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Keeps something until the case is over: a directory, a process, a [`Relay`](crate::Relay).
    #[must_use]
    pub fn keep(mut self, guard: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(guard));
        self
    }

    /// The same fixture with other types in front of the same queue.
    pub fn map<Q2: Queue, P2: Publisher, T2: Topic>(
        self,
        queue: impl Fn(Q) -> Q2 + Clone + Send + Sync + 'static,
        publisher: impl FnOnce(P) -> P2,
        topic: impl FnOnce(T) -> T2,
    ) -> Fixture<Q2, P2, T2> {
        Fixture {
            open: mapped(self.open, queue.clone()),
            publisher: publisher(self.publisher),
            topic: Mutex::new(topic(self.topic.into_inner().unwrap_or_else(PoisonError::into_inner))),
            open_dead_letter: self.open_dead_letter.map(|open| mapped(open, queue)),
            faults: self.faults,
            kept: self.kept,
        }
    }
}

impl<Q, P, T> fmt::Debug for Fixture<Q, P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture")
            .field("dead_letter", &self.open_dead_letter.is_some())
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

fn boxed<Q, F>(open: impl Fn() -> F + Send + Sync + 'static) -> Open<Q>
where
    F: Future<Output = Result<Q, Error>> + Send + 'static,
{
    Box::new(move || Box::pin(open()))
}

fn mapped<Q: 'static, Q2: 'static>(open: Open<Q>, map: impl Fn(Q) -> Q2 + Clone + Send + Sync + 'static) -> Open<Q2> {
    Box::new(move || {
        let opening = open();
        let map = map.clone();
        Box::pin(async move { opening.await.map(map) })
    })
}
