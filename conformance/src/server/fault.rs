//! What a server does when its queue fails it. The faults are injected between the two, so that they are
//! the same for every backend.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chappe::{BoxError, Message, Outcome};
use chappe_core::ErrorKind;
use chappe_core::backend::LeaseKind;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::serving::{Log, Serving, receiver, server};
use crate::case::{Case, Verdict, cases, need};
use crate::harness::Harness;
use crate::probe::Probe;
use crate::rig::{Bench, number_of, numbered};

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["server/fault":
        settling_that_fails_again_and_again_ends_in_one_outcome,
        only_the_entry_that_failed_is_settled_again,
        a_lost_reply_to_an_ack_does_not_have_the_message_handled_twice,
        serving_goes_on_after_a_storm_of_failed_fetches,
        a_failing_fetch_is_not_repeated_in_a_busy_loop,
        an_error_that_cannot_be_retried_ends_serving_with_that_error,
        a_handler_whose_lease_is_lost_is_told_and_its_ack_has_no_effect,
    ]
}

type Numbers = Arc<Log<usize>>;

async fn note(log: Numbers, message: Message) -> Result<Outcome, BoxError> {
    log.note(number_of(&message));
    Ok(Outcome::Ack)
}

/// Row 18 of the broker list.
async fn settling_that_fails_again_and_again_ends_in_one_outcome<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..10)).await;
    let log = Log::new();
    let probe = Probe::new(rig.another_queue().await?);
    let record = Arc::clone(&probe.record);
    record.fail_settles.store(7, Ordering::SeqCst);
    let serving = Serving::start(server(probe), receiver(&log, note));

    log.wait(10, rig.timing.patience).await;
    let report = serving.stop().await;

    assert!(record.settle_calls.load(Ordering::SeqCst) > 7, "not settled again");
    assert_eq!(record.acked.load(Ordering::SeqCst), 10);
    assert_eq!((report.metrics.acked, log.len()), (10, 10));
    rig.tap().await?.silent().await;
    Ok(())
}

/// A17 and bug class 15.
async fn only_the_entry_that_failed_is_settled_again<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..10)).await;
    let log = Log::new();
    let probe = Probe::new(rig.another_queue().await?);
    let record = Arc::clone(&probe.record);
    record.fail_entries.store(3, Ordering::SeqCst);
    let serving = Serving::start(server(probe), receiver(&log, note));

    log.wait(10, rig.timing.patience).await;
    let report = serving.stop().await;

    assert_eq!(record.acked.load(Ordering::SeqCst), 10, "each is acked exactly once");
    assert_eq!((report.metrics.acked, log.len()), (10, 10));
    rig.tap().await?.silent().await;
    Ok(())
}

/// A18 and G25: the ack was applied and its confirmation lost.
async fn a_lost_reply_to_an_ack_does_not_have_the_message_handled_twice<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_with_short_lease().await?;
    rig.publish_all(numbered(0..5)).await;
    let log = Log::new();
    let probe = Probe::new(rig.another_queue().await?);
    probe.record.lose_replies.store(2, Ordering::SeqCst);
    let serving = Serving::start(server(probe), receiver(&log, note));

    log.wait(5, rig.timing.patience).await;
    sleep(rig.lease() * 2).await;
    serving.stop().await;

    assert_eq!(log.len(), 5, "a message was handled twice");
    rig.tap().await?.silent_for(rig.lease()).await;
    Ok(())
}

/// Defect 16 of go-aws-msg, where one failed receive ends serving; number 12.
async fn serving_goes_on_after_a_storm_of_failed_fetches<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..20)).await;
    let log = Log::new();
    let probe = Probe::new(rig.another_queue().await?);
    probe.record.fail_fetches.store(5, Ordering::SeqCst);
    let serving = Serving::start(server(probe).concurrency(4), receiver(&log, note));

    log.wait(20, rig.timing.patience * 4).await;
    let ready = serving.handle.is_ready();
    let report = serving.stop().await;

    assert!(ready, "not ready although fetching has succeeded since");
    assert_eq!((report.metrics.acked, report.metrics.fetch_errors), (20, 5));
    Ok(())
}

async fn a_failing_fetch_is_not_repeated_in_a_busy_loop<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let log = Log::new();
    let probe = Probe::new(rig.another_queue().await?);
    let record = Arc::clone(&probe.record);
    record.fail_fetches.store(usize::MAX, Ordering::SeqCst);
    let serving = Serving::start(server(probe), receiver(&log, note));

    sleep(rig.timing.silence).await;
    let fetches = record.fetches.load(Ordering::SeqCst);
    let ready = serving.handle.is_ready();
    serving.stop().await;

    assert!(fetches <= 50, "{fetches} fetches in {:?}", rig.timing.silence);
    assert!(!ready, "ready although every fetch fails");
    Ok(())
}

/// Row 19 of the broker list.
async fn an_error_that_cannot_be_retried_ends_serving_with_that_error<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let log = Log::new();
    let probe = Probe::new(rig.another_queue().await?);
    probe.record.fatal_fetch.store(true, Ordering::SeqCst);
    let serving = Serving::start(server(probe), receiver(&log, note));

    let ended = timeout(Duration::from_secs(5), serving.ended()).await.expect("serving should have ended");

    let error = ended.expect_err("serving should have failed");
    assert_eq!(error.fatal_error().map(chappe::Error::kind), Some(ErrorKind::NotFound), "{error:?}");
    Ok(())
}

/// Row 9 of the broker list and number 10: renewals do not reach the broker, everything else does.
async fn a_handler_whose_lease_is_lost_is_told_and_its_ack_has_no_effect<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_with_short_lease().await?;
    need(matches!(rig.capabilities.lease, LeaseKind::Timed { renewable: true, .. }), "the server renews no lease")?;
    rig.publish("0").await;
    let (log, gate) = (Log::new(), Arc::new(Semaphore::new(0)));
    let probe = Probe::new(rig.another_queue().await?);
    let record = Arc::clone(&probe.record);
    record.fail_extends.store(true, Ordering::SeqCst);
    let shared = (Arc::clone(&log), Arc::clone(&gate));
    let receiver = receiver(&shared, async |(log, gate), message: Message| {
        let lease = message.lease().cloned().expect("every message has a lease");
        lease.cancelled().await;
        log.note(Instant::now());
        // Once somebody else has the message, and still this one says that it was handled.
        let _ = gate.acquire().await?;
        log.note(Instant::now());
        Ok(Outcome::Ack)
    });
    let from = Instant::now();
    let serving = Serving::start(server(probe).concurrency(1).grace(rig.timing.limit), receiver);
    log.wait(1, rig.lease() + rig.timing.patience).await;

    // A broker may hand it to the same server again, unless that reads no more.
    serving.handle.shutdown();
    let mut other = rig.tap().await?;
    let newer = other.take_within(1, rig.lease() + rig.timing.patience).await.remove(0);
    gate.add_permits(1);
    log.wait(2, rig.timing.patience).await;
    let _ = serving.ended().await;
    let told = log.lock()[0] - from;
    rig.settle_done(&newer, crate::rig::retry()).await;

    assert!(told <= rig.lease() + rig.timing.slack, "told after {told:?}");
    assert_eq!(record.acked.load(Ordering::SeqCst), 0, "the ack of a lost lease was applied");
    assert_eq!(number_of(&other.one().await.message), 0);
    Ok(())
}
