//! How many messages a server has in its hands.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chappe::{Message, Outcome, Server};
use chappe_core::ErrorKind;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::serving::{Log, Serving, receiver, server};
use crate::case::{Case, Verdict, cases};
use crate::harness::Harness;
use crate::probe::Probe;
use crate::rig::{Bench, number_of, numbered};

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["server/limit":
        everything_is_handled_with_ten_at_a_time,
        the_concurrency_is_reached_and_never_exceeded,
        no_more_is_fetched_than_can_be_handled,
        prefetching_keeps_to_its_bound,
        a_blocked_receiver_bounds_what_is_fetched,
        a_server_that_can_handle_nothing_is_refused,
    ]
}

/// M2 of go-msg.
async fn everything_is_handled_with_ten_at_a_time<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let volume = bench.volume();
    let log = Log::new();
    let receiver = receiver(&log, async |log, message: Message| {
        log.note(number_of(&message));
        Ok(Outcome::Ack)
    });
    let serving = Serving::start(server(rig.another_queue().await?).concurrency(10), receiver);

    for start in (0..volume).step_by(1000) {
        rig.publish_all(numbered(start..volume.min(start + 1000))).await;
    }
    log.wait(volume, rig.timing.limit).await;
    let report = serving.stop().await;

    let mut seen = log.lock().clone();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), volume);
    assert_eq!(report.metrics.acked as usize, volume);
    Ok(())
}

struct Crowd {
    inside: AtomicUsize,
    most: AtomicUsize,
    handled: AtomicUsize,
    /// Closed once all have been inside at once.
    gate: Semaphore,
}

/// Number 21 of the Go list.
async fn the_concurrency_is_reached_and_never_exceeded<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    const ALL: usize = 7;
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..60)).await;
    let crowd = Crowd {
        inside: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        handled: AtomicUsize::new(0),
        gate: Semaphore::new(0),
    };
    let crowd = Arc::new(crowd);
    let receiver = receiver(&crowd, async |crowd: Arc<Crowd>, _: Message| {
        let inside = crowd.inside.fetch_add(1, Ordering::SeqCst) + 1;
        crowd.most.fetch_max(inside, Ordering::SeqCst);
        if inside == ALL {
            crowd.gate.close();
        }
        // However slowly they come, the first wait for the last.
        let _ = crowd.gate.acquire().await;
        sleep(Duration::from_millis(20)).await;
        crowd.inside.fetch_sub(1, Ordering::SeqCst);
        crowd.handled.fetch_add(1, Ordering::SeqCst);
        Ok(Outcome::Ack)
    });
    let serving = Serving::start(server(rig.another_queue().await?).concurrency(ALL), receiver);

    rig.until(|| crowd.handled.load(Ordering::SeqCst) == 60).await;
    serving.stop().await;

    assert_eq!(crowd.most.load(Ordering::SeqCst), ALL);
    Ok(())
}

/// A10 and defect 7 of go-msg: the permit first, then the message.
async fn no_more_is_fetched_than_can_be_handled<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    bounded(bench, |server| server.concurrency(3), 3).await
}

/// Number 22 of the Go list.
async fn prefetching_keeps_to_its_bound<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    bounded(bench, |server| server.concurrency(3).prefetch(5), 8).await
}

async fn bounded<H: Harness>(
    bench: Bench<'_, H>,
    options: impl FnOnce(Server<Probe<H::Queue>>) -> Server<Probe<H::Queue>> + Send,
    bound: usize,
) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..60)).await;
    let probe = Probe::new(rig.another_queue().await?);
    let record = Arc::clone(&probe.record);
    let receiver = receiver(&record, async |record, _: Message| {
        sleep(Duration::from_millis(5)).await;
        record.handled.fetch_add(1, Ordering::SeqCst);
        Ok(Outcome::Ack)
    });
    let serving = Serving::start(options(server(probe)), receiver);

    rig.until(|| record.acked.load(Ordering::SeqCst) == 60).await;
    // A consumer that was told to stop is asked for all that it still has, to give it back.
    let most_asked = record.most_asked.load(Ordering::SeqCst);
    serving.stop().await;

    assert!(most_asked <= bound, "asked for {most_asked}");
    assert!(record.most_unhandled.load(Ordering::SeqCst) <= bound, "held {:?}", record.most_unhandled);
    Ok(())
}

/// Row 16 and bug class 16.
async fn a_blocked_receiver_bounds_what_is_fetched<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let volume = bench.volume().min(2000);
    rig.publish_all(numbered(0..volume)).await;
    let probe = Probe::new(rig.another_queue().await?);
    let record = Arc::clone(&probe.record);
    let gate = Arc::new(Semaphore::new(0));
    let receiver = receiver(&gate, async |gate: Arc<Semaphore>, _: Message| {
        let _ = gate.acquire().await.map_err(|_| "the gate is gone")?;
        Ok(Outcome::Ack)
    });
    let serving = Serving::start(server(probe).concurrency(5), receiver);

    rig.until(|| record.unsettled.load(Ordering::SeqCst) == 5).await;
    sleep(rig.timing.silence).await;
    let held = record.most_unsettled.load(Ordering::SeqCst);
    gate.add_permits(1000);
    rig.until(|| record.acked.load(Ordering::SeqCst) == volume).await;
    serving.stop().await;

    assert_eq!(held, 5);
    Ok(())
}

async fn a_server_that_can_handle_nothing_is_refused<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let log = Log::new();
    let receiver = receiver(&log, async |log, _: Message| {
        log.note(());
        Ok(Outcome::Ack)
    });

    let ended = Serving::start(server(rig.another_queue().await?).concurrency(0), receiver).ended().await;

    let error = ended.expect_err("it should have been refused");
    assert_eq!(error.fatal_error().map(chappe::Error::kind), Some(ErrorKind::Invalid));
    Ok(())
}
