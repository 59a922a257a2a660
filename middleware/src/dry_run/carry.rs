//! [`CarryDryRunLayer`], the publishing half.

use std::task::{Context, Poll};

use chappe_core::Message;
use tower_layer::Layer;
use tower_service::Service;

use super::{DRY_RUN, DryRun};

/// Marks what is published in a rehearsal as one itself. See the [module](super).
///
/// It goes outside of layers that call what they wrap later or in a task of their own, such as `Buffer`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct CarryDryRunLayer {}

impl CarryDryRunLayer {
    /// Creates the layer.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl<S> Layer<S> for CarryDryRunLayer {
    type Service = CarryDryRun<S>;

    fn layer(&self, inner: S) -> CarryDryRun<S> {
        CarryDryRun { inner }
    }
}

/// Made by [`CarryDryRunLayer`].
#[derive(Clone, Copy, Debug)]
pub struct CarryDryRun<S> {
    inner: S,
}

impl<S> CarryDryRun<S> {
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

/// Answers with the future of the service within: all is done before it begins.
impl<S: Service<Message>> Service<Message> for CarryDryRun<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut message: Message) -> S::Future {
        let current = DryRun::current();
        if !current.is_real() && !message.attributes().contains(DRY_RUN) {
            current.mark(&mut message);
        }
        self.inner.call(message)
    }
}
