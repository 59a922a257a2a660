//! [`BroadcastHarness`], what the author of a bus writes to run the suite.

use std::any::Any;
use std::fmt;
use std::future::Future;

use chappe_core::Error;
use chappe_core::backend::Broadcast;
use futures_util::future::BoxFuture;

use crate::fault::Faults;
use crate::harness::Timing;

/// Makes buses for the suite to try a backend on.
///
/// What a bus does not have, such as a policy of overflow, it refuses as
/// [`Unsupported`](chappe_core::ErrorKind::Unsupported) when somebody subscribes, and the case is skipped.
pub trait BroadcastHarness: Send + Sync + 'static {
    /// The bus.
    type Bus: Broadcast;

    /// Makes a bus whose handles publish to `topic`, a name no other case has.
    ///
    /// # Errors
    ///
    /// As [`Harness::queue`](crate::Harness::queue).
    fn bus(&self, topic: &str) -> impl Future<Output = Result<BusFixture<Self::Bus>, Error>> + Send;

    /// How fast the bus is.
    fn timing(&self) -> Timing {
        Timing::default()
    }

    /// How many cases run at once; 1 under a paused clock.
    fn parallel(&self) -> usize {
        1
    }

    /// Cases the bus cannot pass, each with the reason.
    fn exemptions(&self) -> &[(&'static str, &'static str)] {
        &[]
    }
}

type Open<B> = Box<dyn Fn() -> BoxFuture<'static, Result<B, Error>> + Send + Sync>;

/// A bus under test. Dropped when the case is over.
pub struct BusFixture<B> {
    pub(super) open: Open<B>,
    pub(super) faults: Faults,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl<B: Broadcast> BusFixture<B> {
    /// A fixture whose `open` makes another handle to the bus each time, with an identity of its own.
    pub fn new<F>(open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<B, Error>> + Send + 'static,
    {
        Self { open: Box::new(move || Box::pin(open())), faults: Faults::new(), kept: Vec::new() }
    }

    /// What can be broken; a bus is only ever [disconnected](Faults::disconnect).
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Keeps something until the case is over.
    #[must_use]
    pub fn keep(mut self, guard: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(guard));
        self
    }
}

impl<B> fmt::Debug for BusFixture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusFixture")
            .field("faults", &self.faults)
            .field("kept", &self.kept.len())
            .finish_non_exhaustive()
    }
}
