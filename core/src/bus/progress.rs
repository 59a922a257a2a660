//! [`Progress`], by which a subscriber learns that it is subscribed.

use std::fmt::Display;
use std::sync::Arc;

use tokio::sync::watch;

use crate::{Error, ErrorKind};

/// What the one who keeps the connection last achieved, for those who wait for it.
#[derive(Debug)]
pub struct Progress(watch::Sender<Option<Failure>>);

/// Why there is no connection.
#[derive(Clone, Debug)]
struct Failure {
    kind: ErrorKind,
    text: Arc<str>,
    /// Failures are told apart by their number: one from before is not told again.
    number: u64,
}

impl Progress {
    /// Nothing was achieved yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Has those who wait look again.
    pub fn made(&self) {
        self.0.send_modify(|_| {});
    }

    /// The connection could not be made.
    pub fn fail(&self, error: &Error) {
        self.0.send_modify(|failure| {
            let number = failure.as_ref().map_or(0, |failure| failure.number) + 1;
            *failure = Some(Failure { kind: error.kind(), text: error.to_string().into(), number });
        });
    }

    /// Waits until `done` says that it is, looking whenever something was achieved.
    ///
    /// # Errors
    ///
    /// What `done` fails with, or what the next attempt to connect does, behind `what` could not be done.
    ///
    /// # Cancel safety
    ///
    /// Dropped, nothing is waited for.
    pub async fn until(&self, what: impl Display, mut done: impl FnMut() -> Result<bool, Error>) -> Result<(), Error> {
        let mut progress = self.0.subscribe();
        let before = progress.borrow_and_update().as_ref().map_or(0, |failure| failure.number);
        while !done()? {
            if let Some(failure) = progress.borrow_and_update().as_ref().filter(|failure| failure.number > before) {
                return Err(Error::new(failure.kind, format!("{what}: {}", failure.text)));
            }
            // It cannot end while we are here.
            let _ = progress.changed().await;
        }
        Ok(())
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    fn failure(text: &'static str) -> Error {
        Error::new(ErrorKind::Unavailable, text)
    }

    #[test]
    fn whoever_waits_looks_again_when_something_was_achieved() {
        let (progress, done) = (Progress::new(), AtomicBool::new(false));
        let mut waiting = task::spawn(progress.until("cannot subscribe", || Ok(done.load(Ordering::Relaxed))));
        assert_pending!(waiting.poll());

        progress.made();
        assert!(waiting.is_woken());
        assert_pending!(waiting.poll());
        done.store(true, Ordering::Relaxed);
        progress.made();

        assert!(assert_ready!(waiting.poll()).is_ok());
    }

    #[test]
    fn the_next_failure_is_told_and_none_from_before() {
        let progress = Progress::new();
        progress.fail(&failure("long ago"));
        let mut waiting = task::spawn(progress.until("cannot subscribe", || Ok(false)));
        assert_pending!(waiting.poll());

        progress.fail(&failure("nobody answers"));

        let error = assert_ready!(waiting.poll()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.to_string(), "cannot subscribe: nobody answers");
    }
}
