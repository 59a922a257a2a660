//! [`Erased`] and [`Decorated`], harnesses around other harnesses.

use std::fmt;

use chappe_core::{BoxTopic, DynPublisher, DynQueue, Error, Topic};

use crate::harness::{FixtureOf, Harness, Setup, Timing};

/// Runs the suite on the erased twins of a harness's queue, publisher and topic, which must make no
/// difference.
#[derive(Debug)]
pub struct Erased<H>(pub H);

impl<H: Harness<Topic: Sync>> Harness for Erased<H> {
    type Queue = DynQueue;
    type Publisher = DynPublisher;
    type Topic = BoxTopic;

    async fn queue(&self, setup: &Setup) -> Result<FixtureOf<Self>, Error> {
        let fixture = self.0.queue(setup).await?;
        Ok(fixture.map(DynQueue::new, DynPublisher::new, BoxTopic::new))
    }

    fn timing(&self) -> Timing {
        self.0.timing()
    }

    fn volume(&self) -> usize {
        self.0.volume()
    }

    fn parallel(&self) -> usize {
        self.0.parallel()
    }

    fn exemptions(&self) -> &[(&'static str, &'static str)] {
        self.0.exemptions()
    }
}

/// Runs the suite on a harness's topic with layers around it, which must make no difference.
pub struct Decorated<H, F> {
    harness: H,
    decorate: F,
}

impl<H: Harness, F> Decorated<H, F> {
    /// Puts what `decorate` makes of each topic in its place.
    pub fn new<T: Topic>(harness: H, decorate: F) -> Self
    where
        F: Fn(H::Topic) -> T,
    {
        Self { harness, decorate }
    }
}

impl<H, F, T> Harness for Decorated<H, F>
where
    H: Harness,
    F: Fn(H::Topic) -> T + Send + Sync + 'static,
    T: Topic,
{
    type Queue = H::Queue;
    type Publisher = H::Publisher;
    type Topic = T;

    async fn queue(&self, setup: &Setup) -> Result<FixtureOf<Self>, Error> {
        let fixture = self.harness.queue(setup).await?;
        Ok(fixture.map(std::convert::identity, std::convert::identity, &self.decorate))
    }

    fn timing(&self) -> Timing {
        self.harness.timing()
    }

    fn volume(&self) -> usize {
        self.harness.volume()
    }

    fn parallel(&self) -> usize {
        self.harness.parallel()
    }

    fn exemptions(&self) -> &[(&'static str, &'static str)] {
        self.harness.exemptions()
    }
}

impl<H: fmt::Debug, F> fmt::Debug for Decorated<H, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decorated").field("harness", &self.harness).finish_non_exhaustive()
    }
}
