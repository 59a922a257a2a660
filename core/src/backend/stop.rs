//! [`StopToken`], how a consumer learns that it is to stop.

use tokio_util::sync::CancellationToken;

/// Told to consumers and subscriptions when they are to stop. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct StopToken(CancellationToken);

impl StopToken {
    /// A token that never stops.
    #[must_use]
    pub fn never() -> Self {
        Self::default()
    }

    /// Whether to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it is time to stop.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn stopped(&self) {
        self.0.cancelled().await;
    }
}

/// The other end of [`StopToken`]s. Dropping it does not stop them.
#[derive(Clone, Debug, Default)]
pub struct StopSource(CancellationToken);

impl StopSource {
    /// Creates a source of tokens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A token of this source.
    #[must_use]
    pub fn token(&self) -> StopToken {
        StopToken(self.0.clone())
    }

    /// Stops all tokens. A second call does nothing.
    pub fn stop(&self) {
        self.0.cancel();
    }

    /// Whether [`stop`](Self::stop) was called.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }
}
