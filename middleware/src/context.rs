//! What holds while a message is handled: values that are in place whenever its future is polled.

use std::cell::RefCell;
use std::thread::LocalKey;

/// Where the value of the future that is being polled on this thread is kept.
pub(crate) type Place<T> = RefCell<Option<T>>;

/// Calls `run` with `value` in its place. It is back afterwards, even if `run` panics, and so is what was in
/// the place before.
pub(crate) fn with<T, R>(place: &'static LocalKey<Place<T>>, value: &mut Option<T>, run: impl FnOnce() -> R) -> R {
    exchange(place, value);
    let _back = Back { place, value };
    run()
}

struct Back<'a, T: 'static> {
    place: &'static LocalKey<Place<T>>,
    value: &'a mut Option<T>,
}

impl<T> Drop for Back<'_, T> {
    fn drop(&mut self) {
        exchange(self.place, self.value);
    }
}

fn exchange<T>(place: &'static LocalKey<Place<T>>, value: &mut Option<T>) {
    place.with_borrow_mut(|there| std::mem::swap(there, value));
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    thread_local!(static PLACE: Place<u8> = const { RefCell::new(None) });

    #[test]
    fn values_nest_and_a_panic_puts_them_back() {
        let (mut outer, mut inner) = (Some(1), Some(2));

        with(&PLACE, &mut outer, || {
            let panicked = catch_unwind(AssertUnwindSafe(|| with(&PLACE, &mut inner, || panic!("on purpose"))));
            assert!(panicked.is_err());
            assert_eq!(PLACE.take(), Some(1));
            PLACE.set(Some(3));
        });

        assert_eq!((outer, inner, PLACE.take()), (Some(3), Some(2), None));
    }
}
