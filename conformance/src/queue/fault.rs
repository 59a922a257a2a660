//! What faults of the broker, and of the way there, do not do.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chappe_core::Topic;
use chappe_core::backend::{Action, Backend, Outgoing, PublishResult, Publisher, Queue, SettleResult};
use tokio::time::timeout;

use crate::case::{Case, Stop, Verdict, cases};
use crate::fault::Event;
use crate::harness::Harness;
use crate::rig::{Bench, Rig, number_of, numbered};

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["queue/fault":
        a_failed_fetch_loses_nothing,
        a_failed_settle_can_be_passed_again,
        a_failed_publish_is_repeated_or_says_so,
        a_failed_batch_leaves_its_messages_intact,
        what_was_accepted_survives_a_restart,
        consuming_goes_on_after_a_restart,
        consuming_goes_on_after_a_disconnect,
        a_reconnect_is_told_once,
        a_receipt_from_before_a_disconnect_is_never_misapplied,
    ]
}

fn hook<T: Clone>(hook: &Option<T>, name: &str) -> Result<T, Stop> {
    hook.clone().ok_or_else(|| Stop::Skip(format!("the harness has no way to {name}")))
}

async fn a_failed_fetch_loses_nothing<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let fail = hook(&rig.faults().fail_fetches, "fail fetches")?;
    rig.publish_all(numbered(0..20)).await;

    fail(3);
    let mut tap = rig.tap().await?;
    let deliveries = tap.take(20).await;

    rig.ack_all(&deliveries).await;
    tap.silent().await;
    Ok(())
}

async fn a_failed_settle_can_be_passed_again<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let fail = hook(&rig.faults().fail_settles, "fail settles")?;
    rig.publish_all(numbered(0..4)).await;
    let mut tap = rig.tap().await?;
    let deliveries = tap.take(4).await;
    let mut batch: Vec<_> = deliveries.iter().map(|delivery| rig.settlement(delivery, Action::Ack)).collect();

    fail(1);
    let first = rig.queue.settle(&mut batch).await;
    let unsettled = |result: &SettleResult| result.is_pending() || matches!(result, SettleResult::Failed(_));
    let failed = batch.iter().filter(|settlement| unsettled(&settlement.result)).count();
    batch.retain(|settlement| unsettled(&settlement.result));
    for settlement in &mut batch {
        settlement.result = SettleResult::Pending;
    }
    rig.queue.settle(&mut batch).await?;

    assert!(first.is_err() || failed > 0, "the settle should have failed");
    assert!(batch.iter().all(|settlement| matches!(settlement.result, SettleResult::Done)));
    tap.silent().await;
    Ok(())
}

/// A topic may try again by itself; what it must not do is to say one thing and do another.
async fn a_failed_publish_is_repeated_or_says_so<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let fail = hook(&rig.faults().fail_publishes, "fail publishes")?;

    fail(1);
    let published = rig.topic().publish("0").await;
    rig.publish("1").await;

    let expected = match published {
        Ok(_) => 2,
        Err(error) => {
            assert!(error.is_retryable() && !error.is_ambiguous(), "{error:?}");
            1
        }
    };
    let mut tap = rig.tap().await?;
    tap.take(expected).await;
    tap.silent().await;
    Ok(())
}

async fn a_failed_batch_leaves_its_messages_intact<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let fail = hook(&rig.faults().fail_publishes, "fail publishes")?;
    let count = rig.publish.max_batch.min(5);
    let mut batch: Vec<_> = numbered(0..count).into_iter().map(Outgoing::new).collect();

    fail(1);
    let first = rig.publisher().publish(&mut batch).await;
    let accepted = |outgoing: &Outgoing| matches!(outgoing.result, PublishResult::Accepted(_));
    let failed: Vec<_> = batch.into_iter().filter(|outgoing| !accepted(outgoing)).collect();
    assert!(first.is_err() || !failed.is_empty(), "the publish should have failed");
    let mut again: Vec<_> = failed.into_iter().map(|outgoing| Outgoing::new(outgoing.message)).collect();
    rig.publisher().publish(&mut again).await?;

    assert!(again.iter().all(accepted), "{again:?}");
    let mut tap = rig.tap().await?;
    let numbers: HashSet<_> = tap.take(count).await.iter().map(|delivery| number_of(&delivery.message)).collect();
    assert_eq!(numbers.len(), count);
    tap.silent().await;
    Ok(())
}

async fn what_was_accepted_survives_a_restart<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let restart = hook(&rig.faults().restart, "restart the broker")?;
    rig.publish_all(numbered(0..100)).await;

    restart().await;

    let deliveries = rig.tap().await?.take(100).await;
    let numbers: HashSet<_> = deliveries.iter().map(|delivery| number_of(&delivery.message)).collect();
    assert_eq!(numbers.len(), 100);
    Ok(())
}

async fn consuming_goes_on_after_a_restart<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_with_short_lease().await?;
    let restart = hook(&rig.faults().restart, "restart the broker")?;
    goes_on_after(&rig, &restart).await
}

/// Row 10 of the broker list and bug class 17.
async fn consuming_goes_on_after_a_disconnect<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_with_short_lease().await?;
    let disconnect = hook(&rig.faults().disconnect, "break connections")?;
    goes_on_after(&rig, &disconnect).await
}

/// Publishes and consumes through a fault at a third and at two thirds. What was acknowledged may come
/// again if the word of it was lost; what was accepted must come.
async fn goes_on_after<H: Harness>(rig: &Rig<H>, fault: &Event) -> Verdict {
    const EACH: usize = 60;
    let mut seen = HashSet::new();
    let mut accepted = HashSet::new();
    let mut tap = rig.tap().await?;
    for round in 0..3 {
        let numbers = round * EACH..(round + 1) * EACH;
        let results = rig.topic().publish_all(numbered(numbers.clone())).await;
        accepted.extend(numbers.zip(results).filter(|(_, result)| result.is_ok()).map(|(number, _)| number));
        for delivery in tap.up_to(EACH / 2, rig.timing.slack).await {
            seen.insert(number_of(&delivery.message));
            let _ = rig.try_settle(&delivery, Action::Ack).await;
        }
        if round < 2 {
            fault().await;
            // A consumer whose fetch fails for good is opened again, as the server does.
            tap = rig.tap_again().await?;
        }
    }
    while !accepted.is_subset(&seen) {
        let delivery = tap.take_within(1, rig.lease() + rig.timing.patience).await.remove(0);
        seen.insert(number_of(&delivery.message));
        let _ = rig.try_settle(&delivery, Action::Ack).await;
    }
    assert!(accepted.len() >= EACH, "nearly nothing was accepted");
    Ok(())
}

/// Row 12 of the broker list: every callback once per epoch, and healthy goes down and up.
async fn a_reconnect_is_told_once<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let disconnect = hook(&rig.faults().disconnect, "break connections")?;
    let mut tap = rig.tap().await?;
    // Now it has connected, and the next time is another.
    rig.publish("w").await;
    rig.ack(&tap.one().await).await;
    tap.silent().await;
    let (first, second) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let count = |counter: &Arc<AtomicUsize>| {
        let counter = Arc::clone(counter);
        move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    };
    let _kept = rig.queue.status().on_reconnect(count(&first));
    let dropped = rig.queue.status().on_reconnect(count(&second));
    drop(dropped);
    let epoch = rig.queue.status().health().epoch;
    let mut health = rig.queue.status().watch();

    disconnect().await;
    let up = health.wait_for(|health| health.healthy && health.epoch > epoch);
    let up = timeout(rig.timing.patience, up).await.is_ok_and(|up| up.is_ok());
    assert!(up, "no reconnect: {:?}", rig.queue.status());
    // A publisher may find out only now that its connection was cut, and cannot tell what became of the message.
    while rig.topic().publish("x").await.is_err() {}
    tap.one().await;

    let epochs = rig.queue.status().health().epoch - epoch;
    assert_eq!(first.load(Ordering::Relaxed) as u64, epochs, "calls in {epochs} epochs");
    assert_eq!(second.load(Ordering::Relaxed), 0, "a dropped guard still calls");
    Ok(())
}

/// Bug class 14: a delivery tag from before means another message afterwards.
async fn a_receipt_from_before_a_disconnect_is_never_misapplied<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_with_short_lease().await?;
    let disconnect = hook(&rig.faults().disconnect, "break connections")?;
    rig.publish_all(numbered(0..2)).await;
    let mut tap = rig.tap().await?;
    let before = tap.one().await;
    disconnect().await;
    drop(tap);
    let other = 1 - number_of(&before.message);

    let _ = rig.try_settle(&before, Action::Ack).await;
    let mut tap = rig.tap_again().await?;
    let mut seen = HashSet::new();
    for delivery in tap.up_to(2, rig.lease() + rig.timing.slack).await {
        seen.insert(number_of(&delivery.message));
    }

    assert!(seen.contains(&other), "the ack of {} was applied to {other}", number_of(&before.message));
    Ok(())
}
