use tower_layer::Layer;

use super::{CatchPanic, Verdict};

/// Turns panics into errors; see the [module](super).
#[derive(Clone, Copy, Debug)]
pub struct CatchPanicLayer {
    verdict: Verdict,
}

impl CatchPanicLayer {
    /// A panic means that the message is tried again.
    #[must_use]
    pub const fn new() -> Self {
        Self { verdict: Verdict::Retry }
    }

    /// Has a panic mean that the message can never be handled: it goes to the dead letter at once, with the
    /// text of the panic as the reason.
    #[must_use]
    pub const fn reject(self) -> Self {
        Self { verdict: Verdict::Reject }
    }
}

impl Default for CatchPanicLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for CatchPanicLayer {
    type Service = CatchPanic<S>;

    fn layer(&self, inner: S) -> CatchPanic<S> {
        CatchPanic { inner, verdict: self.verdict }
    }
}
