//! What becomes of a message that failed.

use chappe_core::backend::{Action, Delay, SettleResult};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::case::{Case, Stop, Verdict, cases, need};
use crate::harness::Harness;
use crate::rig::{Bench, EARLY, Rig, number_of, numbered, retry, retry_after};

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["queue/retry":
        a_retried_message_comes_again,
        attempts_count_one_two_three,
        a_message_may_fail_ten_times_and_then_be_handled,
        a_retry_waits_for_its_delay_and_not_much_longer,
        retries_come_in_the_order_they_are_due,
        a_delay_beyond_the_limit_is_cut_not_refused,
        a_waiting_retry_does_not_hold_others_back,
        a_retry_may_carry_a_reason,
        after_many_errors_everything_is_still_there,
    ]
}

async fn open_with_delay<'a, H: Harness>(bench: &Bench<'a, H>) -> Result<Rig<H>, Stop> {
    let rig = bench.open().await?;
    need(rig.capabilities.retry_delay != Delay::None, "the broker does not hold retries back")?;
    Ok(rig)
}

async fn a_retried_message_comes_again<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish("x").await;
    let mut tap = rig.tap().await?;

    let first = tap.one().await;
    rig.settle_done(&first, retry()).await;
    let second = tap.take_within(1, rig.timing.slack).await.remove(0);

    rig.ack(&second).await;
    tap.silent().await;
    Ok(())
}

async fn attempts_count_one_two_three<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish("x").await;
    let mut tap = rig.tap().await?;

    for attempt in 1..=4 {
        let delivery = tap.one().await;
        rig.check_attempt(&delivery, attempt);
        rig.settle_done(&delivery, retry()).await;
    }
    Ok(())
}

/// M3 of go-msg: eleven deliveries.
async fn a_message_may_fail_ten_times_and_then_be_handled<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish("x").await;
    let mut tap = rig.tap().await?;

    for _ in 0..10 {
        let delivery = tap.one().await;
        rig.settle_done(&delivery, retry()).await;
    }
    rig.ack(&tap.one().await).await;

    tap.silent().await;
    Ok(())
}

async fn a_retry_waits_for_its_delay_and_not_much_longer<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open_with_delay(&bench).await?;
    rig.publish("x").await;
    let mut tap = rig.tap().await?;
    let first = tap.one().await;

    let from = Instant::now();
    rig.settle_done(&first, retry_after(rig.timing.delay)).await;
    let second = tap.one().await;
    let after = from.elapsed();

    assert!(after + EARLY >= rig.timing.delay, "came after {after:?}");
    let latest = if rig.capabilities.retry_delay == Delay::Buckets { rig.timing.patience } else { rig.timing.slack };
    assert!(after <= rig.timing.delay + latest, "came after {after:?}");
    rig.check_attempt(&second, 2);
    Ok(())
}

async fn retries_come_in_the_order_they_are_due<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open_with_delay(&bench).await?;
    need(rig.capabilities.retry_delay != Delay::Buckets, "delays are not exact")?;
    rig.publish_all(numbered(0..3)).await;
    let mut tap = rig.tap().await?;
    let deliveries = tap.take(3).await;
    let step = |delivery: usize| rig.timing.delay * [3, 1, 2][delivery];

    rig.settle_all(deliveries.iter().map(|delivery| (delivery, retry_after(step(number_of(&delivery.message)))))).await;

    let mut order = Vec::new();
    for _ in 0..3 {
        order.push(number_of(&tap.one().await.message));
    }
    assert_eq!(order, [1, 2, 0]);
    Ok(())
}

/// The contract of `Action::Retry`; the server computes backoff without knowing the limit.
async fn a_delay_beyond_the_limit_is_cut_not_refused<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open_with_delay(&bench).await?;
    let Delay::Exact { max: Some(max) } = rig.capabilities.retry_delay else {
        return need(false, "a retry may be put off for ever");
    };
    rig.publish("x").await;
    let delivery = rig.tap().await?.one().await;

    let result = rig.settle(&delivery, retry_after(max * 2)).await;

    assert!(matches!(result, SettleResult::Done), "{result:?}");
    rig.tap().await?.silent().await;
    Ok(())
}

async fn a_waiting_retry_does_not_hold_others_back<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open_with_delay(&bench).await?;
    rig.publish_all(numbered(0..5)).await;
    let mut tap = rig.tap().await?;
    let first = tap.one().await;

    rig.settle_done(&first, retry_after(rig.timing.delay)).await;
    let others = tap.take(4).await;
    let again = tap.one().await;

    assert!(others.iter().all(|other| other.message.body() != first.message.body()), "the failed one came first");
    assert_eq!(again.message.body(), first.message.body());
    Ok(())
}

async fn a_retry_may_carry_a_reason<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish("x").await;
    let mut tap = rig.tap().await?;
    let delivery = tap.one().await;

    let reason = Some("the \"printer\" is on fire\0\n🔥".into());
    rig.settle_done(&delivery, Action::Retry { delay: std::time::Duration::ZERO, reason }).await;

    let again = tap.one().await;
    assert!(again.message.attributes().is_empty(), "the reason became an attribute");
    Ok(())
}

/// Watermill's test of the name: three consumers fail for a while and go, a fourth gets everything.
async fn after_many_errors_everything_is_still_there<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..50)).await;

    try_join_all((0..3).map(|_| async {
        let mut tap = rig.tap().await?;
        for _ in 0..20 {
            for delivery in tap.up_to(3, rig.timing.slack).await {
                rig.settle_done(&delivery, retry()).await;
            }
        }
        for delivery in tap.stop().await {
            rig.settle_done(&delivery, Action::Release).await;
        }
        Ok::<_, Stop>(())
    }))
    .await?;

    let mut tap = rig.tap().await?;
    let deliveries = tap.take(50).await;
    rig.ack_all(&deliveries).await;
    tap.silent().await;
    Ok(())
}
