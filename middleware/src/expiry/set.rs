//! [`SetExpiryLayer`], the publishing half.

use std::time::{Duration, SystemTime};

use chappe_core::Message;
use tower_layer::Layer;

use crate::amend::{Amend, Amendment};

/// Made by [`SetExpiryLayer`].
pub type SetExpiry<S> = Amend<S, SetExpiryLayer>;

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
        Amend::new(inner, *self)
    }
}

impl Amendment for SetExpiryLayer {
    fn amend(&self, message: &mut Message) {
        if message.expires().is_none() {
            let delay = message.delay().unwrap_or_default();
            // A date no clock can show never comes.
            message.set_expires(SystemTime::now().checked_add(delay.saturating_add(self.after)));
        }
    }
}
