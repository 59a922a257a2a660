//! What a server does with what a handler answers, or fails to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chappe::server::Backoff;
use chappe::{BoxError, Message, Outcome, OutcomeError};
use chappe_core::backend::{Attempts, DeadLetter, Delay, LeaseKind};
use futures_util::future::pending;
use tokio::time::{Instant, sleep};

use super::serving::{Log, Serving, receiver, server};
use crate::case::{Case, Verdict, cases, need};
use crate::harness::Harness;
use crate::rig::{Bench, EARLY, check_same, drain, number_of, numbered, retry};

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["server/failure":
        what_is_handled_is_acked_and_gone,
        what_fails_ten_times_is_handled_the_eleventh,
        every_attempt_sees_the_same_message,
        a_panic_is_a_failed_attempt_and_the_server_lives_on,
        a_handler_that_takes_too_long_is_a_failed_attempt,
        a_failed_message_waits_for_the_backoff,
        a_handler_may_say_when_to_try_again,
        a_rejected_message_is_dead_with_its_reason,
        poison_is_dead_after_so_many_attempts_and_its_neighbours_are_handled,
        poison_is_noticed_before_its_handler_runs,
        without_a_dead_letter_poison_is_retried_and_never_lost,
        a_long_handler_keeps_its_message,
        a_throttled_server_starts_nothing_for_a_while,
    ]
}

fn failed() -> Result<Outcome, BoxError> {
    Err("the printer is on fire".into())
}

/// M1 of go-msg: three messages, one at a time.
async fn what_is_handled_is_acked_and_gone<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_with_short_lease().await?;
    rig.publish_all(numbered(0..3)).await;
    let log = Log::new();
    let receiver = receiver(&log, async |log, message: Message| {
        log.note(number_of(&message));
        Ok(Outcome::Ack)
    });
    let serving = Serving::start(server(rig.another_queue().await?).concurrency(1), receiver);

    log.wait(3, rig.timing.patience).await;
    let report = serving.stop().await;

    assert_eq!(report.metrics.acked, 3);
    rig.tap().await?.silent_for(rig.lease() * 2).await;
    Ok(())
}

/// M3 of go-msg.
async fn what_fails_ten_times_is_handled_the_eleventh<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish("x").await;
    let log = Log::new();
    let receiver = receiver(&log, async |log, message: Message| {
        log.note(message.attempt());
        if log.len() <= 10 { failed() } else { Ok(Outcome::Ack) }
    });
    let serving = Serving::start(server(rig.another_queue().await?), receiver);

    log.wait(11, rig.timing.patience).await;
    let report = serving.stop().await;

    assert_eq!((report.metrics.acked, report.metrics.errors), (1, 10));
    if rig.capabilities.attempts == Attempts::Exact {
        assert_eq!(*log.lock(), (1..=11).collect::<Vec<_>>());
    }
    rig.tap().await?.silent().await;
    Ok(())
}

/// Defects 1 and 2 of go-msg, whatever the handler does to its copy.
async fn every_attempt_sees_the_same_message<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let mut original = Message::new(vec![0, 255, 7]);
    original.attributes_mut().insert("type", "order");
    rig.publish(original.clone()).await;
    let log = Log::new();
    let receiver = receiver(&log, async |log, mut message: Message| {
        log.note(message.clone());
        message.set_body("spoilt");
        message.attributes_mut().clear();
        if log.len() < 4 { failed() } else { Ok(Outcome::Ack) }
    });
    let serving = Serving::start(server(rig.another_queue().await?), receiver);

    log.wait(4, rig.timing.patience).await;
    serving.stop().await;

    log.lock().iter().for_each(|seen| check_same(seen, &original));
    Ok(())
}

/// Defect 15 of go-msg and row 5 of the broker list.
async fn a_panic_is_a_failed_attempt_and_the_server_lives_on<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..5)).await;
    let log = Log::new();
    let receiver = receiver(&log, async |log, message: Message| {
        let number = number_of(&message);
        let first = !log.lock().iter().any(|&(seen, _)| seen == number);
        log.note((number, first));
        // Not a panic of the suite's: its text says so to who reads the output.
        assert!(!first, "a handler panics, as this case wants it to");
        Ok(Outcome::Ack)
    });
    let serving = Serving::start(server(rig.another_queue().await?).concurrency(2), receiver);

    log.wait(10, rig.timing.patience).await;
    let report = serving.stop().await;

    assert_eq!((report.metrics.acked, report.metrics.panics), (5, 5));
    rig.tap().await?.silent().await;
    Ok(())
}

async fn a_handler_that_takes_too_long_is_a_failed_attempt<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..2)).await;
    let log = Log::new();
    let receiver = receiver(&log, async |log, message: Message| {
        log.note(number_of(&message));
        if log.len() <= 2 {
            pending::<()>().await;
        }
        Ok(Outcome::Ack)
    });
    let server = server(rig.another_queue().await?).timeout(Duration::from_millis(200));
    let serving = Serving::start(server, receiver);

    log.wait(4, rig.timing.patience).await;
    let report = serving.stop().await;

    assert_eq!((report.metrics.acked, report.metrics.timeouts), (2, 2));
    Ok(())
}

async fn a_failed_message_waits_for_the_backoff<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish("x").await;
    let log = Log::new();
    let receiver = receiver(&log, async |log, _: Message| {
        log.note(Instant::now());
        if log.len() < 3 { failed() } else { Ok(Outcome::Ack) }
    });
    let server = server(rig.another_queue().await?).backoff(Backoff::fixed(rig.timing.delay));
    let serving = Serving::start(server, receiver);

    log.wait(3, rig.timing.patience * 2).await;
    serving.stop().await;

    for pair in log.lock().windows(2) {
        let pause = pair[1] - pair[0];
        assert!(pause + EARLY >= rig.timing.delay, "tried again after {pause:?}");
        if rig.capabilities.retry_delay != Delay::Buckets {
            assert!(pause <= rig.timing.delay + rig.timing.slack, "tried again after {pause:?}");
        }
    }
    Ok(())
}

async fn a_handler_may_say_when_to_try_again<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish("x").await;
    let log = Log::new();
    let pause = rig.timing.delay;
    let receiver = receiver(&(Arc::clone(&log), pause), async |(log, pause), _: Message| {
        log.note(Instant::now());
        match log.len() {
            1 => Err(OutcomeError::retry_after(pause, "busy").into()),
            2 => Ok(Outcome::RetryAfter(pause)),
            _ => Ok(Outcome::Ack),
        }
    });
    let serving = Serving::start(server(rig.another_queue().await?), receiver);

    log.wait(3, rig.timing.patience * 2).await;
    serving.stop().await;

    assert!(log.lock().windows(2).all(|pair| pair[1] - pair[0] + EARLY >= pause), "it did not wait");
    Ok(())
}

async fn a_rejected_message_is_dead_with_its_reason<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let dead = rig.dead_letter().await?;
    rig.publish_all(numbered(0..2)).await;
    let log = Log::new();
    let receiver = receiver(&log, async |log, message: Message| {
        log.note(number_of(&message));
        match number_of(&message) {
            0 => Err(std::io::Error::other(OutcomeError::reject("not a number")).into()),
            _ => Ok(Outcome::reject("too large")),
        }
    });
    let serving = Serving::start(server(rig.another_queue().await?), receiver);

    log.wait(2, rig.timing.patience).await;
    let report = serving.stop().await;
    let letters = drain(&rig, &dead).await?;

    assert_eq!(report.metrics.dead_lettered, 2);
    assert_eq!(log.len(), 2, "a rejected message is not tried again");
    assert_eq!(letters.len(), 2);
    for letter in letters {
        let expected = ["not a number", "too large"][number_of(&letter)];
        let reason = &letter.extensions().get::<DeadLetter>().expect("a dead letter says why it is one").reason;
        assert!(reason.contains(expected), "{reason:?}");
    }
    rig.tap().await?.silent().await;
    Ok(())
}

/// Number 16, and bug class 7: after so many attempts, not more and not fewer.
async fn poison_is_dead_after_so_many_attempts_and_its_neighbours_are_handled<H: Harness>(
    bench: Bench<'_, H>,
) -> Verdict {
    let rig = bench.open().await?;
    need(rig.capabilities.attempts == Attempts::Exact, "attempts are not counted exactly")?;
    let dead = rig.dead_letter().await?;
    rig.publish_all(numbered(0..10)).await;
    let log = Log::new();
    let receiver = receiver(&log, async |log, message: Message| {
        let number = number_of(&message);
        log.note(number);
        if number == 3 { failed() } else { Ok(Outcome::Ack) }
    });
    let serving = Serving::start(server(rig.another_queue().await?).max_attempts(4), receiver);

    log.wait(13, rig.timing.patience).await;
    sleep(rig.timing.silence).await;
    let report = serving.stop().await;
    let letters = drain(&rig, &dead).await?;

    assert_eq!((report.metrics.acked, report.metrics.dead_lettered), (9, 1));
    assert_eq!(log.lock().iter().filter(|&&number| number == 3).count(), 4);
    assert_eq!(letters.iter().map(number_of).collect::<Vec<_>>(), [3]);
    let letter = letters[0].extensions().get::<DeadLetter>().expect("a dead letter says why it is one");
    assert!(!letter.reason.is_empty(), "no reason");
    Ok(())
}

/// Rows 6 and 7 of the broker list: who handled it before may not have lived to say so.
async fn poison_is_noticed_before_its_handler_runs<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    need(rig.capabilities.attempts == Attempts::Exact, "attempts are not counted exactly")?;
    let dead = rig.dead_letter().await?;
    rig.publish("0").await;
    let mut tap = rig.tap().await?;
    for _ in 0..3 {
        let delivery = tap.one().await;
        rig.settle_done(&delivery, retry()).await;
    }
    tap.stop().await;
    let log = Log::new();
    let receiver = receiver(&log, async |log, message: Message| {
        log.note(number_of(&message));
        Ok(Outcome::Ack)
    });

    let serving = Serving::start(server(rig.another_queue().await?).max_attempts(3), receiver);
    let letter = rig.tap_into(&dead).await?.one().await;
    serving.stop().await;

    assert_eq!(number_of(&letter.message), 0);
    assert_eq!(log.len(), 0, "the handler ran once more than it may");
    Ok(())
}

/// The design's "nothing is discarded".
async fn without_a_dead_letter_poison_is_retried_and_never_lost<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_with(|setup| setup.dead_letter = false).await?;
    need(!rig.capabilities.dead_letter, "there is always a dead letter")?;
    rig.publish("7").await;
    let log = Log::new();
    let receiver = receiver(&log, async |log, message: Message| {
        log.note(number_of(&message));
        if log.len() % 2 == 0 { failed() } else { Ok(Outcome::reject("never")) }
    });
    let serving = Serving::start(server(rig.another_queue().await?).max_attempts(2), receiver);

    log.wait(6, rig.timing.patience).await;
    serving.stop().await;

    let queue = rig.another_queue().await?;
    let mut tap = rig.tap_into(&queue).await?;
    assert_eq!(number_of(&tap.one().await.message), 7);
    Ok(())
}

/// Row 8 and bug class 1.
async fn a_long_handler_keeps_its_message<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_with_short_lease().await?;
    need(!matches!(rig.capabilities.lease, LeaseKind::Timed { renewable: false, .. }), "a lease cannot be renewed")?;
    rig.publish("x").await;
    let log = Log::new();
    let (started, long) = (Arc::new(AtomicUsize::new(0)), rig.lease() * 4);
    let shared = (Arc::clone(&log), Arc::clone(&started), long);
    let receiver = receiver(&shared, async |(log, counter, long), _: Message| {
        counter.fetch_add(1, Ordering::SeqCst);
        sleep(long).await;
        log.note(());
        Ok(Outcome::Ack)
    });
    let serving = Serving::start(server(rig.another_queue().await?), receiver);
    rig.until(|| started.load(Ordering::SeqCst) > 0).await;

    let mut other = rig.tap().await?;
    other.silent_for(long / 2).await;
    log.wait(1, long + rig.timing.patience).await;
    let report = serving.stop().await;

    assert_eq!(started.load(Ordering::SeqCst), 1);
    assert_eq!((report.metrics.acked, report.metrics.lost), (1, 0));
    other.silent_for(rig.lease() * 2).await;
    Ok(())
}

/// Defect 21 of go-msg, whose throttle held one slot only.
async fn a_throttled_server_starts_nothing_for_a_while<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish("0").await;
    let log = Log::new();
    let pause = rig.timing.delay * 2;
    let receiver = receiver(&(Arc::clone(&log), pause), async |(log, pause), message: Message| {
        log.note((number_of(&message), Instant::now()));
        if log.len() == 1 { Ok(Outcome::Throttle(pause)) } else { Ok(Outcome::Ack) }
    });
    let serving = Serving::start(server(rig.another_queue().await?), receiver);

    log.wait(1, rig.timing.patience).await;
    rig.publish_all(numbered(1..5)).await;
    log.wait(6, rig.timing.patience + pause).await;
    let report = serving.stop().await;

    let log = log.lock();
    let early = log[1..].iter().find(|(_, at)| *at + EARLY < log[0].1 + pause);
    assert!(early.is_none(), "{early:?} was started while the server was throttled");
    assert_eq!(report.metrics.acked, 5);
    Ok(())
}
