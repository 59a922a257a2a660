//! [`Watch`], what is told how a call goes, and [`Watched`], which sees to it that it is told the end.

use super::Ending;

/// What is told how a call goes.
pub(crate) trait Watch {
    /// Runs a part of the call.
    fn within<T>(&mut self, part: impl FnOnce() -> T) -> T;

    /// Takes note of how the call ended; called once, on every path.
    fn end(&mut self, ending: Ending<'_>);
}

/// A call that is being watched. Dropped before the end is known, it is a call that panicked or was dropped.
#[derive(Debug)]
pub(crate) struct Watched<W: Watch> {
    watch: W,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// A part of the call is running: if it is never left, then by a panic. Looking at the thread would not
    /// tell, as the server catches a panic before it drops the future.
    Running,
    Ended,
}

impl<W: Watch> Watched<W> {
    pub(crate) fn new(watch: W) -> Self {
        Self { watch, state: State::Waiting }
    }

    /// Runs a part of the call.
    pub(crate) fn within<T>(&mut self, part: impl FnOnce() -> T) -> T {
        self.state = State::Running;
        let result = self.watch.within(part);
        self.state = State::Waiting;
        result
    }

    /// Says how the call ended.
    pub(crate) fn end(&mut self, ending: Ending<'_>) {
        self.state = State::Ended;
        self.watch.end(ending);
    }
}

impl<W: Watch> Drop for Watched<W> {
    fn drop(&mut self) {
        match self.state {
            State::Waiting => self.watch.end(Ending::Dropped),
            State::Running => self.watch.end(Ending::Panicked),
            State::Ended => {}
        }
    }
}
