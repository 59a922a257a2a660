//! [`SetExpiryLayer`], the publishing half.

use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use chappe_core::Message;
use tower_layer::Layer;
use tower_service::Service;

/// Sets when each message expires that has no date of its own. See the [module](super).
#[derive(Clone, Copy, Debug)]
pub struct SetExpiryLayer {
    after: Duration,
}

impl SetExpiryLayer {
    /// Has messages expire this long after they are published, or after their [delay](Message::delay) is over.
    #[must_use]
    pub const fn after(time: Duration) -> Self {
        Self { after: time }
    }
}

impl<S> Layer<S> for SetExpiryLayer {
    type Service = SetExpiry<S>;

    fn layer(&self, inner: S) -> SetExpiry<S> {
        SetExpiry { inner, after: self.after }
    }
}

/// Made by [`SetExpiryLayer`].
#[derive(Clone, Copy, Debug)]
pub struct SetExpiry<S> {
    inner: S,
    after: Duration,
}

impl<S> SetExpiry<S> {
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
impl<S: Service<Message>> Service<Message> for SetExpiry<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut message: Message) -> S::Future {
        if message.expires().is_none() {
            let delay = message.delay().unwrap_or_default();
            // A date no clock can show never comes.
            message.set_expires(SystemTime::now().checked_add(delay.saturating_add(self.after)));
        }
        self.inner.call(message)
    }
}
