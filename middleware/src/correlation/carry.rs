//! [`CarryCorrelationLayer`], the publishing half.

use chappe_core::Message;
use tower_layer::Layer;

use super::ids::CURRENT;
use crate::amend::{Amend, Amendment};

/// Made by [`CarryCorrelationLayer`].
pub type CarryCorrelation<S> = Amend<S, CarryCorrelationLayer>;

/// Writes the ids of what is being handled on each message that is published. See the [module](super).
///
/// It goes outside of layers that call what they wrap later or in a task of their own, such as `Buffer`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct CarryCorrelationLayer {}

impl CarryCorrelationLayer {
    /// Creates the layer.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl<S> Layer<S> for CarryCorrelationLayer {
    type Service = CarryCorrelation<S>;

    fn layer(&self, inner: S) -> CarryCorrelation<S> {
        Amend::new(inner, *self)
    }
}

impl Amendment for CarryCorrelationLayer {
    fn amend(&self, message: &mut Message) {
        CURRENT.with_borrow(|current| {
            if let Some(correlation) = current {
                correlation.stamp(message);
            }
        });
    }
}
