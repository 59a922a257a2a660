//! Whole runs, balanced: every accepted message is acked, dead or still queued.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chappe::{BoxError, Message, Outcome, OutcomeError};
use chappe_core::backend::Attempts;
use tokio::time::sleep;

use super::serving::{Log, Serving, receiver, server};
use crate::case::{Case, Stop, Verdict, cases, need};
use crate::harness::Harness;
use crate::ledger::Ledger;
use crate::probe::Probe;
use crate::rig::{Bench, Rig, drain, number_of, numbered};

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["server/accounting":
        competing_servers_handle_everything_once,
        whatever_handlers_do_every_message_comes_to_one_end,
        whatever_settling_does_no_message_is_lost,
        crashing_servers_lose_nothing,
        attempts_are_not_multiplied_by_servers,
        a_busy_server_leaves_messages_to_an_idle_one,
    ]
}

/// Publishes so many messages and enters them in the ledger.
async fn accept<H: Harness>(rig: &Rig<H>, ledger: &Ledger, volume: usize) {
    for start in (0..volume).step_by(1000) {
        let numbers = start..volume.min(start + 1000);
        rig.publish_all(numbered(numbers.clone())).await;
        numbers.for_each(|number| ledger.accepted(number as u64));
    }
}

/// Enters what is left, in the queue and in the dead letter where that can be read.
async fn count_rest<H: Harness>(rig: &Rig<H>, ledger: &Ledger) -> Verdict {
    let queue = rig.another_queue().await?;
    for message in drain(rig, &queue).await? {
        ledger.queued(number_of(&message) as u64);
    }
    match rig.dead_letter().await {
        Ok(dead) => {
            for message in drain(rig, &dead).await? {
                ledger.dead(number_of(&message) as u64);
            }
            Ok(())
        }
        Err(Stop::Skip(_)) => Ok(()),
        Err(stop) => Err(stop),
    }
}

/// Row 2 of the broker list.
async fn competing_servers_handle_everything_once<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let ledger = Arc::new(Ledger::new());
    let log = Log::new();
    let shared = (Arc::clone(&log), Arc::clone(&ledger));
    let receiver = receiver(&shared, async |(log, acked), message: Message| {
        acked.acked(number_of(&message) as u64);
        log.note(());
        Ok(Outcome::Ack)
    });
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(Serving::start(server(rig.another_queue().await?), receiver.clone()));
    }

    accept(&rig, &ledger, bench.volume()).await;
    log.wait(bench.volume(), rig.timing.limit).await;
    for serving in servers {
        serving.stop().await;
    }
    count_rest(&rig, &ledger).await?;

    ledger.balance().check_exact();
    Ok(())
}

/// Errors, panics, timeouts, rejections and retries at random, by a seed that is part of the message.
async fn whatever_handlers_do_every_message_comes_to_one_end<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    need(rig.capabilities.dead_letter, "no dead letter")?;
    let ledger = Arc::new(Ledger::new());
    let volume = (bench.volume() / 10).max(100);
    let dice = Arc::new(Dice::new());
    let shared = (dice, Arc::clone(&ledger));
    let receiver = receiver(&shared, async |(dice, acked), message: Message| {
        let number = number_of(&message) as u64;
        let end: Result<Outcome, BoxError> = match dice.roll() % 10 {
            0 => Err("failed".into()),
            1 => panic!("a handler panics, as this case wants it to"),
            2 => std::future::pending().await,
            3 => Err(OutcomeError::reject("rejected").into()),
            4 => Ok(Outcome::RetryAfter(Duration::from_millis(20))),
            _ => Ok(Outcome::Ack),
        };
        if matches!(end, Ok(Outcome::Ack)) {
            acked.acked(number);
        }
        end
    });
    let mut servers = Vec::new();
    for _ in 0..2 {
        let server = server(rig.another_queue().await?).timeout(Duration::from_millis(50)).max_attempts(8);
        servers.push(Serving::start(server.concurrency(32), receiver.clone()));
    }

    accept(&rig, &ledger, volume).await;
    let ends = || servers.iter().map(|s| s.handle.metrics()).map(|m| m.acked + m.dead_lettered).sum::<u64>();
    rig.until(|| ends() >= volume as u64).await;
    for serving in servers {
        serving.stop().await;
    }
    count_rest(&rig, &ledger).await?;

    ledger.balance().check_exact();
    Ok(())
}

async fn whatever_settling_does_no_message_is_lost<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let ledger = Arc::new(Ledger::new());
    let volume = (bench.volume() / 10).max(100);
    let log = Log::new();
    let shared = (Arc::clone(&log), Arc::clone(&ledger));
    let receiver = receiver(&shared, async |(log, acked), message: Message| {
        acked.acked(number_of(&message) as u64);
        log.note(());
        Ok(Outcome::Ack)
    });
    let probe = Probe::new(rig.another_queue().await?);
    let record = Arc::clone(&probe.record);
    let serving = Serving::start(server(probe), receiver);

    for round in 0..5 {
        let numbers = round * volume / 5..(round + 1) * volume / 5;
        record.fail_settles.store(2, Ordering::SeqCst);
        record.fail_entries.store(7, Ordering::SeqCst);
        record.lose_replies.store(1, Ordering::SeqCst);
        record.fail_fetches.store(1, Ordering::SeqCst);
        rig.publish_all(numbered(numbers.clone())).await;
        numbers.for_each(|number| ledger.accepted(number as u64));
        log.wait((round + 1) * volume / 5, rig.timing.patience * 2).await;
    }
    serving.stop().await;
    count_rest(&rig, &ledger).await?;

    ledger.balance().check_exact();
    Ok(())
}

/// Jepsen's way: crashes in the middle of everything cost duplicates, and nothing else.
async fn crashing_servers_lose_nothing<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_with_short_lease().await?;
    need(rig.capabilities.lease != chappe_core::backend::LeaseKind::None, "there are no leases")?;
    let ledger = Arc::new(Ledger::new());
    let volume = (bench.volume() / 20).max(100);
    let log = Log::new();
    let shared = (Arc::clone(&log), Arc::clone(&ledger));
    let receiver = receiver(&shared, async |(log, acked), message: Message| {
        sleep(Duration::from_millis(2)).await;
        acked.acked(number_of(&message) as u64);
        log.note(number_of(&message));
        Ok(Outcome::Ack)
    });
    accept(&rig, &ledger, volume).await;

    for crash in 1..=4 {
        let serving = Serving::start(server(rig.another_queue().await?).concurrency(16), receiver.clone());
        log.wait(crash * volume / 6, rig.lease() + rig.timing.patience).await;
        serving.crash().await;
    }
    let serving = Serving::start(server(rig.another_queue().await?).concurrency(16), receiver);
    let all = |seen: &[usize]| seen.iter().collect::<std::collections::HashSet<_>>().len() == volume;
    log.wait_until(rig.lease() * 2 + rig.timing.patience * 2, all).await;
    serving.stop().await;

    ledger.balance().check();
    Ok(())
}

/// Bug class 8: 24 attempts became 144 with six instances.
async fn attempts_are_not_multiplied_by_servers<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    need(rig.capabilities.attempts == Attempts::Exact, "attempts are not counted exactly")?;
    let dead = rig.dead_letter().await?;
    rig.publish("0").await;
    let log = Log::new();
    let receiver = receiver(&log, async |log, message: Message| {
        log.note(message.attempt());
        Err("always".into())
    });
    let mut servers = Vec::new();
    for _ in 0..6 {
        servers.push(Serving::start(server(rig.another_queue().await?).max_attempts(9), receiver.clone()));
    }

    rig.tap_into(&dead).await?.one().await;
    for serving in servers {
        serving.stop().await;
    }

    assert_eq!(*log.lock(), (1..=9).collect::<Vec<_>>());
    Ok(())
}

/// Bug class 13, hoarding: ten messages and two servers with room for five each.
async fn a_busy_server_leaves_messages_to_an_idle_one<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let log = Log::new();
    let mut servers = Vec::new();
    for name in 0..2 {
        let receiver = receiver(&(Arc::clone(&log), name), async |(log, name), _: Message| {
            log.note(name);
            sleep(Duration::from_millis(400)).await;
            Ok(Outcome::Ack)
        });
        servers.push(Serving::start(server(rig.another_queue().await?).concurrency(5), receiver));
    }

    rig.publish_all(numbered(0..10)).await;
    log.wait(10, rig.timing.patience).await;
    for serving in servers {
        serving.stop().await;
    }

    assert_eq!(log.lock().iter().filter(|&&name| name == 0).count(), 5, "one server took more than its share");
    Ok(())
}

/// A small generator of numbers that are the same in every run.
struct Dice(AtomicU64);

impl Dice {
    fn new() -> Self {
        Self(AtomicU64::new(0x9e37_79b9_7f4a_7c15))
    }

    fn roll(&self) -> u64 {
        let step = |state: u64| {
            let state = state ^ (state << 13);
            let state = state ^ (state >> 7);
            state ^ (state << 17)
        };
        // Whoever comes first has the next number.
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| Some(step(state))).map_or(0, step) >> 11
    }
}
