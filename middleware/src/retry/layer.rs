use tower::retry::Retry;
use tower_layer::Layer;

use super::{Leased, RetryPolicy};

/// Tries again within the process; see the [module](super).
///
/// Makes tower's [`Retry`] of the policy, around a service that keeps to the lease.
#[derive(Clone, Debug)]
pub struct RetryLayer {
    policy: RetryPolicy,
}

impl RetryLayer {
    /// Tries again as the policy says.
    #[must_use]
    pub const fn new(policy: RetryPolicy) -> Self {
        Self { policy }
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = Retry<RetryPolicy, Leased<S>>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry::new(self.policy.clone(), Leased::new(inner))
    }
}
