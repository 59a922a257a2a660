use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;

use super::{Bucket, RateLimit};

/// Takes no more messages than so many in a time; see the [module](super).
#[derive(Clone, Debug)]
pub struct RateLimitLayer {
    bucket: Arc<Bucket>,
}

impl RateLimitLayer {
    /// Takes `messages` in each `per`, evenly: there is one token in the beginning, and the next comes
    /// after the time divided by the number. At least 1 message.
    #[must_use]
    pub fn new(messages: u32, per: Duration) -> Self {
        // Rounded up, by less than a nanosecond: it is not to be faster than it was told.
        let interval = per.as_nanos().div_ceil(u128::from(messages.max(1)));
        let interval = Duration::from_nanos(u64::try_from(interval).unwrap_or(u64::MAX));
        Self { bucket: Arc::new(Bucket::new(interval, 1)) }
    }

    /// Sets how many tokens are kept of those nobody took, and how many there are in the beginning. At least
    /// 1, the default. Set it before the layer is put around a service.
    #[must_use]
    pub fn burst(self, messages: u32) -> Self {
        Self { bucket: Arc::new(Bucket::new(self.bucket.interval(), messages.max(1))) }
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> RateLimit<S> {
        RateLimit::new(inner, Arc::clone(&self.bucket))
    }
}
