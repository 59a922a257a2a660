//! How a server ends: nothing is lost, nothing is blamed, nobody waits longer than allowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chappe::server::State;
use chappe::{Message, Outcome, Topic};
use chappe_core::backend::LeaseKind;
use futures_util::future::pending;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::serving::{Log, Serving, receiver, server};
use crate::case::{Case, Verdict, cases, need};
use crate::harness::Harness;
use crate::ledger::Ledger;
use crate::probe::Probe;
use crate::rig::{Bench, drain, number_of, numbered};

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["server/shutdown":
        an_idle_server_shuts_down_at_once,
        a_server_that_was_shut_down_before_serving_handles_nothing,
        shutting_down_twice_is_shutting_down_once,
        a_handler_may_shut_its_own_server_down,
        serving_ends_only_when_running_handlers_have,
        a_lease_is_renewed_while_the_server_drains,
        nothing_is_started_once_a_shutdown_was_asked_for,
        acks_are_flushed_before_serving_ends,
        a_stuck_handler_holds_a_shutdown_no_longer_than_the_grace,
        a_cancelled_handlers_message_goes_to_another_server_at_once,
        a_shutdown_is_no_failed_attempt,
        prefetched_messages_go_to_another_server_at_once,
        nothing_is_settled_after_serving_has_ended,
        a_server_that_is_dropped_loses_nothing,
        shutting_down_under_load_loses_nothing,
        servers_that_relieve_each_other_lose_nothing,
    ]
}

/// Defect 5 of go-msg and number 4 of the Go list.
async fn an_idle_server_shuts_down_at_once<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let serving =
        Serving::start(server(rig.another_queue().await?), receiver(&Log::<()>::new(), async |_, _| Ok(Outcome::Ack)));
    serving.handle.started().await;
    sleep(rig.timing.silence).await;

    let from = Instant::now();
    let handle = serving.handle.clone();
    let report = serving.stop().await;
    let took = from.elapsed();

    assert!(took < rig.timing.stop, "the shutdown of an idle server took {took:?}");
    assert!(report.is_clean());
    assert_eq!(handle.state(), State::Stopped);
    Ok(())
}

/// Defect 14 of go-msg, whose shutdown before serving is a nil dereference.
async fn a_server_that_was_shut_down_before_serving_handles_nothing<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish("0").await;
    let log = Log::new();
    let server = server(rig.another_queue().await?);
    server.handle().shutdown();

    let serving = Serving::start(
        server,
        receiver(&log, async |log, _| {
            log.note(());
            Ok(Outcome::Ack)
        }),
    );
    let ended = timeout(rig.timing.patience, serving.ended()).await;

    assert!(ended.is_ok_and(|ended| ended.is_ok()), "it did not end cleanly");
    assert_eq!(log.len(), 0);
    assert_eq!(number_of(&rig.tap().await?.one().await.message), 0);
    Ok(())
}

async fn shutting_down_twice_is_shutting_down_once<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let serving =
        Serving::start(server(rig.another_queue().await?), receiver(&Log::<()>::new(), async |_, _| Ok(Outcome::Ack)));
    serving.handle.started().await;
    let handle = serving.handle.clone();

    handle.shutdown();
    handle.shutdown();
    let report = serving.stop().await;
    handle.shutdown();
    handle.stopped().await;

    assert!(report.is_clean());
    Ok(())
}

/// M4 of go-msg: there it fails, as a server waits for the very handler that waits for it.
async fn a_handler_may_shut_its_own_server_down<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish("0").await;
    let server = server(rig.another_queue().await?);
    let handle = Arc::new(server.handle());
    let receiver = receiver(&handle, async |handle, _: Message| {
        handle.shutdown();
        Ok(Outcome::Ack)
    });

    let ended = timeout(rig.timing.patience, Serving::start(server, receiver).ended()).await;

    let report = ended.expect("serving should have ended").expect("the shutdown should be clean");
    assert_eq!(report.metrics.acked, 1);
    rig.tap().await?.silent().await;
    Ok(())
}

/// Defect 4 of go-msg and number 3 of the Go list.
async fn serving_ends_only_when_running_handlers_have<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..3)).await;
    let (started, finished) = (Log::new(), Arc::new(AtomicUsize::new(0)));
    let shared = (Arc::clone(&started), Arc::clone(&finished));
    let receiver = receiver(&shared, async |(log, counter), _: Message| {
        log.note(());
        sleep(Duration::from_millis(300)).await;
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(Outcome::Ack)
    });
    let serving = Serving::start(server(rig.another_queue().await?), receiver);

    started.wait(3, rig.timing.patience).await;
    let report = serving.stop().await;

    assert_eq!(finished.load(Ordering::SeqCst), 3);
    assert_eq!(report.metrics.acked, 3);
    rig.tap().await?.silent().await;
    Ok(())
}

async fn a_lease_is_renewed_while_the_server_drains<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_with_short_lease().await?;
    need(!matches!(rig.capabilities.lease, LeaseKind::Timed { renewable: false, .. }), "a lease cannot be renewed")?;
    rig.publish("0").await;
    let (started, long) = (Log::new(), rig.lease() * 3);
    let receiver = receiver(&(Arc::clone(&started), long), async |(log, long), _: Message| {
        log.note(());
        sleep(long).await;
        Ok(Outcome::Ack)
    });
    let serving = Serving::start(server(rig.another_queue().await?).grace(long * 3), receiver);
    started.wait(1, rig.timing.patience).await;

    let mut other = rig.tap().await?;
    let (report, ()) = tokio::join!(serving.stop(), other.silent_for(long * 2));

    assert_eq!((report.metrics.acked, report.metrics.lost, started.len()), (1, 0, 1));
    Ok(())
}

/// Defect 17 of go-aws-msg and number 5 of the Go list.
async fn nothing_is_started_once_a_shutdown_was_asked_for<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    const WORKERS: usize = 2;
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..50)).await;
    let log = Log::new();
    let asked = Arc::new(AtomicBool::new(false));
    let shared = (Arc::clone(&log), Arc::clone(&asked));
    let receiver = receiver(&shared, async |(log, late), _: Message| {
        log.note(late.load(Ordering::SeqCst));
        sleep(Duration::from_millis(20)).await;
        Ok(Outcome::Ack)
    });
    let serving = Serving::start(server(rig.another_queue().await?).concurrency(WORKERS).prefetch(10), receiver);

    log.wait(6, rig.timing.patience).await;
    serving.handle.shutdown();
    asked.store(true, Ordering::SeqCst);
    let report = serving.stop().await;
    sleep(rig.timing.silence).await;

    // On threads of their own, workers may be about to call a handler in that very moment.
    let late = log.lock().iter().filter(|late| **late).count();
    assert!(late <= WORKERS, "{late} handlers were started after the shutdown");
    assert_eq!(log.len() as u64, report.metrics.acked);
    Ok(())
}

/// A16: what was handled just before the end is acked all the same.
async fn acks_are_flushed_before_serving_ends<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..100)).await;
    let log = Log::new();
    let receiver = receiver(&log, async |log, message: Message| {
        log.note(number_of(&message));
        Ok(Outcome::Ack)
    });
    let serving = Serving::start(server(rig.another_queue().await?), receiver);

    log.wait(100, rig.timing.patience).await;
    let report = serving.stop().await;

    assert_eq!(report.metrics.acked, 100);
    rig.tap().await?.silent().await;
    Ok(())
}

/// Row 15 of the broker list.
async fn a_stuck_handler_holds_a_shutdown_no_longer_than_the_grace<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish("0").await;
    let started = Log::new();
    let receiver = receiver(&started, async |log, _: Message| {
        log.note(());
        pending().await
    });
    let grace = rig.timing.delay;
    let serving = Serving::start(server(rig.another_queue().await?).grace(grace), receiver);
    started.wait(1, rig.timing.patience).await;

    let from = Instant::now();
    serving.handle.shutdown();
    let error = serving.ended().await.expect_err("a cancelled handler is no clean shutdown");
    let took = from.elapsed();

    assert!(error.is_deadline(), "{error:?}");
    assert_eq!(error.report().aborted.len(), 1, "the report does not name the message");
    assert!(took >= grace && took < grace + rig.timing.patience, "took {took:?}");
    Ok(())
}

async fn a_cancelled_handlers_message_goes_to_another_server_at_once<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish("0").await;
    let started = Log::new();
    let receiver = receiver(&started, async |log, _: Message| {
        log.note(());
        pending().await
    });
    let serving = Serving::start(server(rig.another_queue().await?).grace(Duration::from_millis(100)), receiver);
    started.wait(1, rig.timing.patience).await;

    serving.handle.shutdown();
    let _ = serving.ended().await;
    let delivery = rig.tap().await?.take_within(1, rig.timing.slack).await.remove(0);

    assert_eq!(number_of(&delivery.message), 0);
    if rig.capabilities.release {
        rig.check_attempt(&delivery, 1);
    }
    Ok(())
}

/// Bug class 3, the source of most dead letters in one system.
async fn a_shutdown_is_no_failed_attempt<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let dead = rig.dead_letter().await?;
    rig.publish_all(numbered(0..4)).await;
    let started = Log::new();
    let receiver = receiver(&started, async |log, _: Message| {
        log.note(());
        pending().await
    });
    let server = server(rig.another_queue().await?).max_attempts(1).grace(Duration::from_millis(50)).prefetch(4);
    let serving = Serving::start(server.concurrency(2), receiver);
    started.wait(2, rig.timing.patience).await;

    serving.handle.shutdown();
    let _ = serving.ended().await;

    assert_eq!(drain(&rig, &dead).await?.len(), 0, "a shutdown made dead letters");
    rig.tap().await?.take_within(4, rig.timing.patience).await;
    Ok(())
}

/// Bug class 4, G18 and number 6 of the Go list.
async fn prefetched_messages_go_to_another_server_at_once<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..10)).await;
    let gate = Arc::new(Semaphore::new(0));
    let probe = Probe::new(rig.another_queue().await?);
    let record = Arc::clone(&probe.record);
    let started = Log::new();
    let receiver = receiver(&(Arc::clone(&gate), Arc::clone(&started)), async |(gate, log), _: Message| {
        log.note(());
        let _ = gate.acquire().await.map_err(|_| "the gate is gone")?;
        Ok(Outcome::Ack)
    });
    let serving = Serving::start(server(probe).concurrency(1).prefetch(9), receiver);
    rig.until(|| record.unsettled.load(Ordering::SeqCst) == 10).await;
    started.wait(1, rig.timing.patience).await;

    serving.handle.shutdown();
    // The first is still being handled while the rest is back already.
    let mut other = rig.tap().await?;
    let released = other.take_within(9, rig.timing.slack).await;
    gate.add_permits(1);
    let report = serving.stop().await;

    assert_eq!((report.metrics.acked, report.metrics.released), (1, 9));
    if rig.capabilities.release {
        released.iter().for_each(|delivery| rig.check_attempt(delivery, 1));
    }
    Ok(())
}

async fn nothing_is_settled_after_serving_has_ended<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..20)).await;
    let probe = Probe::new(rig.another_queue().await?);
    let record = Arc::clone(&probe.record);
    let log = Log::new();
    let receiver = receiver(&log, async |log, message: Message| {
        log.note(());
        if number_of(&message) % 5 == 0 {
            pending::<()>().await;
        }
        Ok(Outcome::Ack)
    });
    let serving = Serving::start(server(probe).grace(Duration::from_millis(50)), receiver);
    log.wait(20, rig.timing.patience).await;

    serving.handle.shutdown();
    let _ = serving.ended().await;
    let calls = record.settle_calls.load(Ordering::SeqCst);
    sleep(rig.timing.silence * 4).await;

    assert_eq!(record.settle_calls.load(Ordering::SeqCst), calls);
    Ok(())
}

/// A crash, as far as one process can tell; row 6 of the broker list.
async fn a_server_that_is_dropped_loses_nothing<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_with_short_lease().await?;
    need(rig.capabilities.lease != LeaseKind::None, "there are no leases")?;
    rig.publish_all(numbered(0..20)).await;
    let ledger = Arc::new(Ledger::new());
    (0..20).for_each(|number| ledger.accepted(number));
    let log = Log::new();
    let shared = (Arc::clone(&log), Arc::clone(&ledger));
    let receiver = receiver(&shared, async |(log, acked), message: Message| {
        let number = number_of(&message);
        log.note(number);
        if number % 2 == 0 {
            pending::<()>().await;
        }
        acked.acked(number as u64);
        Ok(Outcome::Ack)
    });
    let serving = Serving::start(server(rig.another_queue().await?), receiver);
    log.wait(20, rig.timing.patience).await;

    serving.crash().await;
    sleep(rig.lease()).await;
    let queue = rig.another_queue().await?;
    for message in drain(&rig, &queue).await? {
        ledger.queued(number_of(&message) as u64);
    }

    ledger.balance().check();
    Ok(())
}

/// Row 14 of the broker list: accepted = acked + dead + still queued.
async fn shutting_down_under_load_loses_nothing<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let ledger = Arc::new(Ledger::new());
    let volume = (bench.volume() / 10).max(100);
    let log = Log::new();
    let shared = (Arc::clone(&log), Arc::clone(&ledger));
    let receiver = receiver(&shared, async |(log, acked), message: Message| {
        sleep(Duration::from_millis(1)).await;
        acked.acked(number_of(&message) as u64);
        log.note(());
        Ok(Outcome::Ack)
    });
    let serving = Serving::start(server(rig.another_queue().await?).concurrency(16).prefetch(16), receiver);
    let publish = async {
        for (number, message) in numbered(0..volume).into_iter().enumerate() {
            match rig.topic().publish(message).await {
                Ok(_) => ledger.accepted(number as u64),
                Err(_) => ledger.attempted(number as u64),
            }
        }
    };
    let stop = async {
        log.wait(volume / 3, rig.timing.patience).await;
        serving.stop().await
    };

    let ((), report) = tokio::join!(publish, stop);
    let queue = rig.another_queue().await?;
    for message in drain(&rig, &queue).await? {
        ledger.queued(number_of(&message) as u64);
    }

    assert!(report.is_clean());
    ledger.balance().check_exact();
    Ok(())
}

/// Wolverine's rolling restart: the next server starts before the last has ended.
async fn servers_that_relieve_each_other_lose_nothing<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let ledger = Arc::new(Ledger::new());
    let volume = (bench.volume() / 10).max(100);
    let log = Log::new();
    let shared = (Arc::clone(&log), Arc::clone(&ledger));
    let receiver = receiver(&shared, async |(log, acked), message: Message| {
        sleep(Duration::from_millis(2)).await;
        acked.acked(number_of(&message) as u64);
        log.note(());
        Ok(Outcome::Ack)
    });
    let start = async || {
        let queue = rig.another_queue().await?;
        Ok::<_, crate::case::Stop>(Serving::start(server(queue).concurrency(8).prefetch(8), receiver.clone()))
    };
    let mut serving = start().await?;
    for round in 0..5 {
        let numbers = round * volume / 5..(round + 1) * volume / 5;
        rig.publish_all(numbered(numbers.clone())).await;
        numbers.for_each(|number| ledger.accepted(number as u64));
        log.wait(round * volume / 5 + 1, rig.timing.patience).await;
        let next = start().await?;
        std::mem::replace(&mut serving, next).stop().await;
    }

    log.wait(volume, rig.timing.patience * 2).await;
    serving.stop().await;

    ledger.balance().check_exact();
    rig.tap().await?.silent().await;
    Ok(())
}
