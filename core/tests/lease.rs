//! What `Lease` promises a handler, and `LeaseControl` a server.

use std::sync::Arc;
use std::time::Duration;

use chappe_core::{Cancelled, Error, ErrorKind, Lease, LeaseControl, Message};
use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

const MINUTE: Duration = Duration::from_secs(60);

/// A control with a lease of one minute, and what announces a handler's wishes.
fn begin() -> (Arc<Notify>, LeaseControl, Lease) {
    let keeper = Arc::new(Notify::new());
    let mut control = LeaseControl::new(Arc::clone(&keeper));
    let lease = control.begin(1, Some(Instant::now() + MINUTE));
    (keeper, control, lease)
}

fn kind<T>(result: Result<T, Error>) -> Result<T, ErrorKind> {
    result.map_err(|error| error.kind())
}

#[tokio::test(start_paused = true)]
async fn an_extension_is_announced_and_resolves_when_it_is_granted() {
    let (keeper, control, lease) = begin();
    let start = Instant::now();
    let extension = tokio::spawn({
        let lease = lease.clone();
        async move { lease.extend(5 * MINUTE).await }
    });

    keeper.notified().await;
    assert_eq!(control.wanted(1), Some(start + 5 * MINUTE));
    control.extended(1, start + 2 * MINUTE);
    yield_now().await;
    assert!(!extension.is_finished(), "less than was asked for is not enough");
    assert_eq!(control.wanted(1), Some(start + 5 * MINUTE));
    control.extended(1, start + 6 * MINUTE);

    assert_eq!(kind(extension.await.unwrap()), Ok(start + 6 * MINUTE));
    assert_eq!((control.wanted(1), lease.deadline()), (None, Some(start + 6 * MINUTE)));
}

#[tokio::test(start_paused = true)]
async fn of_several_extensions_the_longest_is_wanted() {
    let (_, control, lease) = begin();
    let start = Instant::now();

    assert!(lease.extend(5 * MINUTE).now_or_never().is_none());
    assert!(lease.extend(3 * MINUTE).now_or_never().is_none());

    assert_eq!(control.wanted(1), Some(start + 5 * MINUTE));
}

#[tokio::test(start_paused = true)]
async fn an_extension_of_a_lease_without_an_end_is_granted_at_once() {
    let (_, mut control, _) = begin();
    let lease = control.begin(2, None);

    assert!(lease.extend(MINUTE).now_or_never().unwrap().is_ok());
    assert_eq!((lease.deadline(), control.wanted(2)), (None, None));
}

#[tokio::test(start_paused = true)]
async fn an_extension_fails_when_the_lease_is_lost_meanwhile_or_before() {
    let (_, control, lease) = begin();
    let waiting = tokio::spawn({
        let lease = lease.clone();
        async move { lease.extend(5 * MINUTE).await }
    });
    yield_now().await;

    control.cancel(1, Cancelled::LeaseLost);

    assert_eq!(kind(waiting.await.unwrap()), Err(ErrorKind::LeaseLost));
    assert_eq!(kind(lease.extend(MINUTE).await), Err(ErrorKind::LeaseLost));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_to_be_cancelled_hears_the_first_reason() {
    let (_, control, lease) = begin();
    let waiting = tokio::spawn({
        let lease = lease.clone();
        async move { lease.cancelled().await }
    });
    yield_now().await;
    assert_eq!(lease.is_cancelled(), None);

    control.clone().cancel(1, Cancelled::Shutdown);
    control.cancel(1, Cancelled::LeaseLost);

    assert_eq!(waiting.await.unwrap(), Cancelled::Shutdown);
    assert_eq!(lease.cancelled().await, Cancelled::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_runs_in_peace_is_never_cancelled() {
    let (_, control, lease) = begin();

    control.finish();

    assert!(timeout(24 * 60 * MINUTE, lease.cancelled()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_lease_kept_past_its_message_cannot_be_extended() {
    let (_, mut control, kept) = begin();
    let waiting = tokio::spawn({
        let kept = kept.clone();
        async move { kept.extend(5 * MINUTE).await }
    });
    yield_now().await;

    control.finish();
    let next = control.begin(2, Some(Instant::now() + 10 * MINUTE));

    assert_eq!(kind(waiting.await.unwrap()), Err(ErrorKind::LeaseLost));
    assert_eq!(kind(kept.extend(MINUTE).await), Err(ErrorKind::LeaseLost));
    assert!(next.extend(MINUTE).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_next_lease_inherits_nothing_whether_or_not_the_last_is_kept() {
    for keep in [false, true] {
        let (_, mut control, lease) = begin();
        assert!(lease.extend(5 * MINUTE).now_or_never().is_none());
        control.cancel(1, Cancelled::LeaseLost);
        control.finish();
        let kept = keep.then_some(lease);

        let next = control.begin(2, None);

        assert_eq!((next.is_cancelled(), next.deadline(), control.wanted(2)), (None, None, None));
        assert_eq!(kept.and_then(|lease| lease.is_cancelled()), None, "it speaks for no message any more");
        control.cancel(2, Cancelled::Shutdown);
        assert_eq!(next.is_cancelled(), Some(Cancelled::Shutdown));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_leaves_its_lease_behind_when_it_is_published_on() {
    let (_, _, lease) = begin();
    let mut message = Message::new("a");
    message.set_lease(Some(lease));

    assert!(message.clone().lease().is_some());
    assert!(message.into_outgoing().lease().is_none());
}
