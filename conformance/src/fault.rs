//! [`Faults`], what a fixture can break.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;

pub(crate) type Event = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;
pub(crate) type Count = Arc<dyn Fn(usize) + Send + Sync>;

/// The faults a [`Fixture`](crate::Fixture) can inject into its broker or the way there. All are optional:
/// cases that need one that is missing are skipped.
#[derive(Clone, Default)]
pub struct Faults {
    pub(crate) restart: Option<Event>,
    pub(crate) disconnect: Option<Event>,
    pub(crate) fail_fetches: Option<Count>,
    pub(crate) fail_settles: Option<Count>,
    pub(crate) fail_publishes: Option<Count>,
}

impl Faults {
    /// Nothing can be broken.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How the broker is stopped and started again; resolves when it accepts connections.
    #[must_use]
    pub fn restart<F>(mut self, restart: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.restart = Some(event(restart));
        self
    }

    /// How all connections are broken once, such as [`Relay::cut`](crate::Relay::cut).
    #[must_use]
    pub fn disconnect<F>(mut self, disconnect: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.disconnect = Some(event(disconnect));
        self
    }

    /// How the next so many fetches are made to fail with an error that can be retried.
    #[must_use]
    pub fn fail_fetches(mut self, fail: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.fail_fetches = Some(Arc::new(fail));
        self
    }

    /// How the next so many settle calls are made to fail without having been applied.
    #[must_use]
    pub fn fail_settles(mut self, fail: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.fail_settles = Some(Arc::new(fail));
        self
    }

    /// How the next so many publish calls are made to fail without having been applied.
    #[must_use]
    pub fn fail_publishes(mut self, fail: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.fail_publishes = Some(Arc::new(fail));
        self
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("restart", &self.restart.is_some())
            .field("disconnect", &self.disconnect.is_some())
            .field("fail_fetches", &self.fail_fetches.is_some())
            .field("fail_settles", &self.fail_settles.is_some())
            .field("fail_publishes", &self.fail_publishes.is_some())
            .finish()
    }
}

fn event<F>(event: impl Fn() -> F + Send + Sync + 'static) -> Event
where
    F: Future<Output = ()> + Send + 'static,
{
    Arc::new(move || Box::pin(event()))
}
