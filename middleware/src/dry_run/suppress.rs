//! [`SuppressDryRunLayer`], for topics nothing of a rehearsal may reach.

use std::task::{Context, Poll};

use chappe_core::{Message, Published};
use tower_layer::Layer;
use tower_service::Service;

use super::{DryRun, Suppression};
use crate::Count;

/// Publishes nothing in a rehearsal, and answers with a receipt without an id. See the [module](super).
///
/// A message that is marked as a rehearsal itself is not published either.
#[derive(Clone, Debug, Default)]
pub struct SuppressDryRunLayer {
    suppressed: Count,
}

impl SuppressDryRunLayer {
    /// Creates the layer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many messages were not published.
    #[must_use]
    pub fn suppressed(&self) -> Count {
        self.suppressed.clone()
    }
}

impl<S> Layer<S> for SuppressDryRunLayer {
    type Service = SuppressDryRun<S>;

    fn layer(&self, inner: S) -> SuppressDryRun<S> {
        SuppressDryRun { inner, suppressed: self.suppressed.clone() }
    }
}

/// Made by [`SuppressDryRunLayer`].
#[derive(Clone, Debug)]
pub struct SuppressDryRun<S> {
    inner: S,
    suppressed: Count,
}

impl<S> SuppressDryRun<S> {
    /// The service within.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service within, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service within, taken out.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S> Service<Message> for SuppressDryRun<S>
where
    S: Service<Message, Response = Published>,
{
    type Response = Published;
    type Error = S::Error;
    type Future = Suppression<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, message: Message) -> Suppression<S::Future> {
        let DryRun(handled) = DryRun::current();
        // A mark that is no flag is for the receiver to refuse.
        let DryRun(marked) = DryRun::of(&message).unwrap_or_default();
        if !handled && !marked {
            return Suppression::new(Some(self.inner.call(message)));
        }
        self.suppressed.add_one();
        Suppression::new(None)
    }
}
