//! [`CarryDryRunLayer`], the publishing half.

use chappe_core::Message;
use tower_layer::Layer;

use super::{DRY_RUN, DryRun};
use crate::amend::{Amend, Amendment};

/// Made by [`CarryDryRunLayer`].
pub type CarryDryRun<S> = Amend<S, CarryDryRunLayer>;

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
        Amend::new(inner, *self)
    }
}

impl Amendment for CarryDryRunLayer {
    fn amend(&self, message: &mut Message) {
        let current = DryRun::current();
        if !current.is_real() && !message.attributes().contains(DRY_RUN) {
            current.mark(message);
        }
    }
}
