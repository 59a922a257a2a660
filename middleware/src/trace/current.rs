//! Which trace the code that is running belongs to.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;

use super::TraceContext;
use super::wire::Carried;

thread_local! {
    static CURRENT: Cell<Option<Carried>> = const { Cell::new(None) };
}

impl TraceContext {
    /// The context of what is being published or handled, as long as it is by the code that is running.
    #[must_use]
    pub fn current() -> Option<Self> {
        current().map(|carried| carried.context)
    }
}

/// Has a future belong to the trace it is made in, as one must that is spawned while a message is handled.
///
/// # Examples
///
/// ```
/// # async fn audit() {}
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use chappe_middleware::trace::in_current_trace;
///
/// tokio::spawn(in_current_trace(audit()));
/// # }
/// ```
pub fn in_current_trace<F: Future>(future: F) -> InTrace<F> {
    InTrace { future, place: current() }
}

/// A future that belongs to a trace; made by [`in_current_trace`].
#[pin_project]
pub struct InTrace<F> {
    #[pin]
    future: F,
    place: Option<Carried>,
}

impl<F: Future> Future for InTrace<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let future = this.future;
        within(this.place, || future.poll(cx))
    }
}

impl<F: fmt::Debug> fmt::Debug for InTrace<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.future.fmt(f)
    }
}

/// Where the code that is running is.
pub(super) fn current() -> Option<Carried> {
    CURRENT.with(|cell| {
        let current = cell.take();
        let copy = current.clone();
        cell.set(current);
        copy
    })
}

/// Runs `part` in a place, which is lent to the thread meanwhile.
pub(super) fn within<T>(place: &mut Option<Carried>, part: impl FnOnce() -> T) -> T {
    let _entered = Entered::new(place);
    part()
}

/// Puts things back, also when `part` panics.
struct Entered<'a>(&'a mut Option<Carried>);

impl<'a> Entered<'a> {
    fn new(place: &'a mut Option<Carried>) -> Self {
        let mut entered = Self(place);
        entered.swap();
        entered
    }

    fn swap(&mut self) {
        *self.0 = CURRENT.replace(self.0.take());
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.swap();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_place_is_left_again_even_by_a_panic() {
        let context = TraceContext::root();
        let mut outer = Some(Carried::new(context));
        let mut inner = Some(Carried::new(context.child()));

        within(&mut outer, || {
            let panic = catch_unwind(AssertUnwindSafe(|| within(&mut inner, || panic!("out"))));

            assert!(panic.is_err());
            assert_eq!(TraceContext::current(), Some(context));
        });

        assert_eq!(TraceContext::current(), None);
        assert!(inner.is_some_and(|carried| carried.context.span_id() != context.span_id()));
    }

    #[test]
    fn a_future_that_is_sent_elsewhere_keeps_its_trace() {
        let context = TraceContext::root();
        let mut place = Some(Carried::new(context));
        let future = within(&mut place, || in_current_trace(async { TraceContext::current() }));

        let found = std::thread::spawn(move || {
            let mut future = std::pin::pin!(future);
            future.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()))
        });

        assert_eq!(found.join().unwrap(), Poll::Ready(Some(context)));
    }
}
