//! How long a message that is out stays out.

use std::time::Duration;

use chappe_core::backend::{Action, LeaseKind, Queue, SettleResult};
use tokio::time::{Instant, sleep, sleep_until};

use crate::case::{Case, Stop, Verdict, cases, need};
use crate::harness::Harness;
use crate::rig::{Bench, EARLY, Rig, check_lost, check_same, number_of, numbered};

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["queue/lease":
        a_delivery_says_when_its_lease_ends,
        an_unsettled_message_comes_back_when_its_lease_is_over_and_not_before,
        a_message_comes_back_once_per_lease,
        a_crashed_consumers_messages_come_back,
        extending_holds_the_message,
        extending_again_and_again_holds_it_for_many_leases,
        a_batch_of_extensions_holds_each,
        a_receipt_is_lost_when_the_message_has_come_back,
        an_ack_after_the_lease_says_whether_it_was_applied,
        an_extension_does_not_shorten_the_life_of_others,
    ]
}

async fn open<'a, H: Harness>(bench: &Bench<'a, H>) -> Result<Rig<H>, Stop> {
    let rig = bench.open_with_short_lease().await?;
    need(rig.has_timed_lease(), "a lease has no end")?;
    Ok(rig)
}

async fn open_renewable<'a, H: Harness>(bench: &Bench<'a, H>) -> Result<Rig<H>, Stop> {
    let rig = open(bench).await?;
    let renewable = matches!(rig.capabilities.lease, LeaseKind::Timed { renewable: true, .. });
    need(renewable, "a lease cannot be renewed")?;
    Ok(rig)
}

async fn a_delivery_says_when_its_lease_ends<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open(&bench).await?;
    rig.publish("x").await;
    let delivery = rig.tap().await?.one().await;

    let until = delivery.lease_until.expect("the lease is declared to have an end");

    assert!(until > Instant::now(), "the lease is over before the message is there");
    assert!(until <= Instant::now() + rig.lease(), "the lease is longer than declared");
    Ok(())
}

async fn an_unsettled_message_comes_back_when_its_lease_is_over_and_not_before<H: Harness>(
    bench: Bench<'_, H>,
) -> Verdict {
    let rig = open(&bench).await?;
    rig.publish("x").await;
    let mut tap = rig.tap().await?;
    let first = tap.one().await;
    let until = first.lease_until.expect("the lease is declared to have an end");

    let second = tap.take_within(1, rig.lease() + rig.timing.slack).await.remove(0);

    assert!(Instant::now() + EARLY >= until, "it came back {:?} before its lease was over", until - Instant::now());
    check_same(&second.message, &first.message);
    rig.check_attempt(&second, 2);
    Ok(())
}

async fn a_message_comes_back_once_per_lease<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open(&bench).await?;
    rig.publish("x").await;
    let mut tap = rig.tap().await?;
    tap.one().await;
    let second = tap.take_within(1, rig.lease() + rig.timing.slack).await.remove(0);

    tap.silent_for(rig.lease() / 2).await;

    rig.ack(&second).await;
    tap.silent_for(rig.lease() * 2).await;
    Ok(())
}

/// Row 6 of the broker list, as far as one process can tell: nothing is said about what was out.
async fn a_crashed_consumers_messages_come_back<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_with_short_lease().await?;
    need(rig.capabilities.lease != LeaseKind::None, "there are no leases")?;
    rig.publish_all(numbered(0..10)).await;
    let crashing = rig.another_queue().await?;
    let mut tap = rig.tap_into(&crashing).await?;
    tap.take(5).await;
    drop((tap, crashing));

    let within = rig.lease() + rig.timing.patience;
    let deliveries = rig.tap().await?.take_within(10, within).await;

    let mut numbers: Vec<_> = deliveries.iter().map(|delivery| number_of(&delivery.message)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
    Ok(())
}

async fn extending_holds_the_message<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open_renewable(&bench).await?;
    rig.publish("x").await;
    let mut tap = rig.tap().await?;
    let delivery = tap.one().await;

    let from = Instant::now();
    rig.settle_done(&delivery, Action::Extend { by: rig.lease() * 3 }).await;
    let second = tap.take_within(1, rig.lease() * 3 + rig.timing.slack).await.remove(0);

    assert!(from.elapsed() + EARLY >= rig.lease() * 3, "it came back after {:?}", from.elapsed());
    rig.check_attempt(&second, 2);
    Ok(())
}

/// Row 8 and bug class 1: a handler three leases long sees one delivery, and its ack counts.
async fn extending_again_and_again_holds_it_for_many_leases<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open_renewable(&bench).await?;
    rig.publish("x").await;
    let mut tap = rig.tap().await?;
    let delivery = tap.one().await;

    for _ in 0..8 {
        tap.silent_for(rig.lease() * 2 / 5).await;
        rig.settle_done(&delivery, Action::Extend { by: rig.lease() }).await;
    }

    rig.ack(&delivery).await;
    tap.silent_for(rig.lease() * 2).await;
    Ok(())
}

async fn a_batch_of_extensions_holds_each<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open_renewable(&bench).await?;
    rig.publish_all(numbered(0..20)).await;
    let mut tap = rig.tap().await?;
    let deliveries = tap.take(20).await;

    let by = rig.lease() * 3;
    let results = rig.settle_all(deliveries.iter().map(|delivery| (delivery, Action::Extend { by }))).await;

    assert!(results.iter().all(|result| matches!(result, SettleResult::Done)), "{results:?}");
    tap.silent_for(rig.lease() * 2).await;
    rig.ack_all(&deliveries).await;
    Ok(())
}

async fn a_receipt_is_lost_when_the_message_has_come_back<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open(&bench).await?;
    rig.publish("x").await;
    let mut tap = rig.tap().await?;
    let stale = tap.one().await;
    let newer = tap.take_within(1, rig.lease() + rig.timing.slack).await.remove(0);

    check_lost(&rig.settle(&stale, Action::Extend { by: rig.lease() * 10 }).await);
    check_lost(&rig.settle(&stale, Action::Ack).await);

    drop(newer);
    let third = tap.take_within(1, rig.lease() + rig.timing.slack).await.remove(0);
    rig.check_attempt(&third, 3);
    Ok(())
}

/// Whether a broker takes an ack so late is its own business, as long as it tells the truth.
async fn an_ack_after_the_lease_says_whether_it_was_applied<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open(&bench).await?;
    rig.publish("x").await;
    let mut tap = rig.tap().await?;
    let delivery = tap.one().await;
    tap.stop().await;
    let until = delivery.lease_until.expect("the lease is declared to have an end");
    sleep_until(until + Duration::from_millis(50)).await;

    let result = rig.settle(&delivery, Action::Ack).await;

    let mut tap = rig.tap().await?;
    match result {
        SettleResult::Done => tap.silent_for(rig.lease() * 2).await,
        SettleResult::Lost => assert_eq!(tap.one().await.message.body(), "x"),
        other => panic!("an ack after the lease came to {other:?}"),
    }
    Ok(())
}

async fn an_extension_does_not_shorten_the_life_of_others<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open_renewable(&bench).await?;
    rig.publish_all(numbered(0..2)).await;
    let mut tap = rig.tap().await?;
    let mut held = tap.take(2).await;
    held.sort_by_key(|delivery| number_of(&delivery.message));
    rig.settle_done(&held[0], Action::Extend { by: rig.lease() * 4 }).await;

    let back = tap.take_within(1, rig.lease() + rig.timing.slack).await.remove(0);
    sleep(rig.lease() / 4).await;

    assert_eq!(number_of(&back.message), 1, "the extended one came back");
    rig.ack(&held[0]).await;
    rig.queue.close().await?;
    Ok(())
}
