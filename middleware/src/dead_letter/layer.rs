use std::sync::{Arc, Mutex};

use tower_layer::Layer;

use super::{DeadLetter, Grave};

/// Publishes messages that failed for good; see the [module](super).
#[derive(Clone, Debug)]
pub struct DeadLetterLayer<T> {
    topic: T,
    max_attempts: u32,
}

impl<T> DeadLetterLayer<T> {
    /// Publishes messages that were rejected to `topic`.
    #[must_use]
    pub const fn new(topic: T) -> Self {
        Self { topic, max_attempts: u32::MAX }
    }

    /// Has messages published that failed at this attempt or a later one, by what the broker counts. At
    /// least 1. On a broker that does not count, attempts never run out.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }
}

impl<S, T: Clone> Layer<S> for DeadLetterLayer<T> {
    type Service = DeadLetter<S, T>;

    fn layer(&self, inner: S) -> DeadLetter<S, T> {
        let grave = Grave { topic: Mutex::new(self.topic.clone()), max_attempts: self.max_attempts };
        DeadLetter { inner, grave: Arc::new(grave) }
    }
}
