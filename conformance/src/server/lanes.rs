//! The order a server keeps by itself, in front of any queue.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chappe::server::{Backoff, Lanes};
use chappe::{BoxError, Key, Message, Outcome};
use tokio::time::sleep;

use super::serving::{Log, Serving, receiver, server};
use crate::case::{Case, Verdict, cases};
use crate::harness::Harness;
use crate::probe::Probe;
use crate::rig::{Bench, number_of};

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["server/lanes":
        one_message_of_a_key_is_handled_at_a_time,
        ordered_lanes_keep_the_order_through_failures,
        passing_lanes_let_followers_pass_what_failed,
        a_slow_key_does_not_hold_other_keys_back,
        a_failing_key_does_not_hold_other_keys_back,
        messages_without_a_key_are_handled_side_by_side,
    ]
}

fn keyed(count: usize) -> Vec<Message> {
    (0..count)
        .map(|number| {
            let mut message = Message::new(number.to_string());
            message.set_key(KEYS[number % KEYS.len()]);
            message
        })
        .collect()
}

fn key_of(message: &Message) -> Key {
    message.key().cloned().expect("every message has a key")
}

fn failed() -> Result<Outcome, BoxError> {
    Err("not yet".into())
}

async fn one_message_of_a_key_is_handled_at_a_time<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(keyed(50)).await;
    let log = Log::new();
    let receiver = receiver(&log, async |log, message: Message| {
        log.note((key_of(&message), true));
        sleep(Duration::from_millis(5)).await;
        log.note((key_of(&message), false));
        Ok(Outcome::Ack)
    });
    let server = server(rig.another_queue().await?).lanes(Lanes::Ordered).concurrency(16);
    let serving = Serving::start(server, receiver);

    log.wait(100, rig.timing.patience).await;
    serving.stop().await;

    let (mut inside, mut most) = (HashSet::new(), 0);
    for (key, enters) in log.lock().iter() {
        if *enters {
            assert!(inside.insert(key.clone()), "two messages of {key:?} at a time");
        } else {
            inside.remove(key);
        }
        most = most.max(inside.len());
    }
    assert!(most > 1, "keys are not handled side by side");
    Ok(())
}

/// Row 17 of the broker list: whatever came first is handled to its end before what follows, on any broker.
async fn ordered_lanes_keep_the_order_through_failures<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(keyed(60)).await;
    let log = Log::new();
    let receiver = receiver(&log, async |log, message: Message| {
        let (key, number) = (key_of(&message), number_of(&message));
        let attempts = log.lock().iter().filter(|&&(_, seen)| seen == number).count();
        log.note((key, number));
        sleep(Duration::from_millis(number as u64 * 7 % 5)).await;
        if attempts < number % 3 { failed() } else { Ok(Outcome::Ack) }
    });
    let probe = Probe::new(rig.another_queue().await?);
    let record = Arc::clone(&probe.record);
    let backoff = Backoff::exponential(Duration::from_millis(10), Duration::from_millis(50));
    let server = server(probe).lanes(Lanes::Ordered).backoff(backoff).concurrency(16);
    let serving = Serving::start(server, receiver);

    rig.until(|| record.acked.load(Ordering::SeqCst) == 60).await;
    serving.stop().await;

    let mut expected: HashMap<Key, Vec<usize>> = HashMap::new();
    for message in record.fetched() {
        let lane = expected.entry(key_of(&message)).or_default();
        let number = number_of(&message);
        if !lane.contains(&number) {
            lane.extend(std::iter::repeat_n(number, number % 3 + 1));
        }
    }
    let mut handled: HashMap<Key, Vec<usize>> = HashMap::new();
    for (key, number) in log.lock().iter() {
        handled.entry(key.clone()).or_default().push(*number);
    }
    assert_eq!(handled, expected);
    Ok(())
}

async fn passing_lanes_let_followers_pass_what_failed<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    // The broker's own order would hold them back.
    if rig.capabilities.order == chappe_core::backend::Order::LaneExclusive {
        return crate::case::need(false, "the broker keeps the order itself");
    }
    rig.publish_all(keyed(20)).await;
    let log = Log::new();
    let receiver = receiver(&log, async |log, message: Message| {
        let number = number_of(&message);
        let first = !log.lock().contains(&number);
        log.note(number);
        if number < 5 && first { failed() } else { Ok(Outcome::Ack) }
    });
    let server = server(rig.another_queue().await?).lanes(Lanes::Passing).backoff(Backoff::fixed(rig.timing.delay));
    let serving = Serving::start(server, receiver);

    log.wait(25, rig.timing.patience).await;
    serving.stop().await;

    let log = log.lock();
    let again = |number: usize| log.iter().rposition(|&seen| seen == number).expect("it was handled");
    let others = (5..20).map(again).max().expect("there are others");
    assert!((0..5).all(|number| again(number) > others), "followers waited: {log:?}");
    Ok(())
}

/// Bug class 12.
async fn a_slow_key_does_not_hold_other_keys_back<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(keyed(40)).await;
    let log = Log::new();
    let slow = rig.timing.patience;
    let receiver = receiver(&(Arc::clone(&log), slow), async |(log, slow), message: Message| {
        if message.key() == Some(&"a".into()) {
            sleep(slow).await;
        }
        log.note(key_of(&message));
        Ok(Outcome::Ack)
    });
    let server = server(rig.another_queue().await?).lanes(Lanes::Ordered).concurrency(8);
    let serving = Serving::start(server.grace(Duration::from_millis(10)), receiver);

    // The slow key has eight messages; nobody waits for more than the first.
    log.wait(32, slow / 2).await;
    serving.handle.shutdown();
    let _ = serving.ended().await;

    assert!(!log.lock()[..32].contains(&"a".into()));
    Ok(())
}

async fn a_failing_key_does_not_hold_other_keys_back<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(keyed(40)).await;
    let log = Log::new();
    let failures = Arc::new(AtomicUsize::new(0));
    let shared = (Arc::clone(&log), Arc::clone(&failures));
    let receiver = receiver(&shared, async |(log, counter), message: Message| {
        if message.key() == Some(&"a".into()) {
            counter.fetch_add(1, Ordering::SeqCst);
            return failed();
        }
        log.note(key_of(&message));
        Ok(Outcome::Ack)
    });
    let server = server(rig.another_queue().await?).lanes(Lanes::Ordered).concurrency(8);
    let backoff = Backoff::fixed(Duration::from_millis(100));
    let serving = Serving::start(server.max_attempts(u32::MAX).backoff(backoff), receiver);

    log.wait(32, rig.timing.patience).await;
    serving.stop().await;

    assert!(failures.load(Ordering::SeqCst) > 0);
    Ok(())
}

async fn messages_without_a_key_are_handled_side_by_side<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(["0", "1", "2", "3"]).await;
    let gate = Arc::new(tokio::sync::Barrier::new(4));
    let log = Log::new();
    let receiver = receiver(&(Arc::clone(&log), gate), async |(log, gate), message: Message| {
        gate.wait().await;
        log.note(number_of(&message));
        Ok(Outcome::Ack)
    });
    let server = server(rig.another_queue().await?).lanes(Lanes::Ordered).concurrency(4);
    let serving = Serving::start(server, receiver);

    log.wait(4, rig.timing.patience).await;
    serving.stop().await;
    Ok(())
}
