use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tower_layer::Layer;

use super::{IgnoreErrors, Ignored, Rule};

/// Acknowledges messages whose errors are of no matter; see the [module](super).
#[derive(Clone, Debug)]
pub struct IgnoreErrorsLayer {
    rule: Arc<Rule>,
}

impl IgnoreErrorsLayer {
    /// Ignores the errors that `predicate` is true of. The name says which these are; it is logged with
    /// each.
    ///
    /// The predicate is given the error as the service answered it. What it has as its source is found by
    /// walking [`source`](StdError::source).
    #[must_use]
    pub fn new(
        name: &'static str,
        predicate: impl Fn(&(dyn StdError + 'static)) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { rule: Arc::new(Rule { name, predicate: Box::new(predicate), count: AtomicU64::new(0) }) }
    }

    /// Tells how many errors are ignored, in all services the layer is put around.
    #[must_use]
    pub fn ignored(&self) -> Ignored {
        Ignored(Arc::clone(&self.rule))
    }
}

impl<S> Layer<S> for IgnoreErrorsLayer {
    type Service = IgnoreErrors<S>;

    fn layer(&self, inner: S) -> IgnoreErrors<S> {
        IgnoreErrors { inner, rule: Arc::clone(&self.rule) }
    }
}
