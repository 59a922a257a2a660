//! What settling does: a result for each entry, and nothing from a receipt that is stale.

use chappe_core::backend::{Action, Queue, SettleResult};
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::case::{Case, Verdict, cases, need};
use crate::harness::Harness;
use crate::rig::{Bench, DeliveryOf, Rig, check_lost, number_of, numbered, retry};

/// The most entries the suite settles at once.
const LARGEST_BATCH: usize = 500;

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["queue/settle":
        an_ack_removes_the_message_for_good,
        an_empty_batch_is_settled,
        a_full_batch_is_settled_in_one_call,
        every_entry_of_a_batch_gets_its_own_result_in_its_own_place,
        a_stale_entry_does_not_keep_its_neighbours_from_being_settled,
        an_ack_may_be_repeated,
        a_retry_after_an_ack_has_no_effect,
        a_stale_receipt_is_lost_whatever_it_asks_for,
        concurrent_settles_do_not_disturb_each_other,
        release_hands_the_message_out_again_at_once,
        release_does_not_count_the_attempt,
        what_is_forgotten_is_still_in_the_queue,
    ]
}

async fn an_ack_removes_the_message_for_good<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_with_short_lease().await?;
    rig.publish("x").await;
    let mut tap = rig.tap().await?;
    let delivery = tap.one().await;

    rig.ack(&delivery).await;

    tap.silent_for(rig.timing.lease * 2).await;
    Ok(())
}

async fn an_empty_batch_is_settled<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;

    rig.queue.settle(&mut []).await?;

    Ok(())
}

/// More than the declared batch fits in a call as well; the declared one is only where it pays.
async fn a_full_batch_is_settled_in_one_call<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let count = (rig.capabilities.max_settle_batch + 1).min(LARGEST_BATCH);
    rig.publish_all(numbered(0..count)).await;
    let mut tap = rig.tap().await?;
    let deliveries = tap.take(count).await;

    let results = rig.settle_all(deliveries.iter().map(|delivery| (delivery, Action::Ack))).await;

    assert!(results.iter().all(|result| matches!(result, SettleResult::Done)), "{results:?}");
    tap.silent().await;
    Ok(())
}

async fn every_entry_of_a_batch_gets_its_own_result_in_its_own_place<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..6)).await;
    let mut tap = rig.tap().await?;
    let mut deliveries = tap.take(6).await;
    deliveries.sort_by_key(|delivery| number_of(&delivery.message));
    let action = |at: usize| match at % 3 {
        0 => Action::Ack,
        1 => retry(),
        _ => Action::Release,
    };

    let results = rig.settle_all(deliveries.iter().enumerate().map(|(at, delivery)| (delivery, action(at)))).await;
    let mut again: Vec<_> = tap.take(4).await.iter().map(|delivery| number_of(&delivery.message)).collect();
    again.sort_unstable();

    assert!(results.iter().all(|result| matches!(result, SettleResult::Done)), "{results:?}");
    assert_eq!(again, [1, 2, 4, 5]);
    tap.silent().await;
    Ok(())
}

/// Bug class 15, the partial failure that is ignored: the failing entry is alone with its result.
async fn a_stale_entry_does_not_keep_its_neighbours_from_being_settled<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..5)).await;
    let mut tap = rig.tap().await?;
    let mut deliveries = tap.take(5).await;
    rig.settle_done(&deliveries[2], retry()).await;
    let newer = tap.one().await;

    let results = rig.settle_all(deliveries.iter().map(|delivery| (delivery, Action::Ack))).await;

    check_lost(&results[2]);
    assert_eq!(results.iter().filter(|result| matches!(result, SettleResult::Done)).count(), 4, "{results:?}");
    deliveries.truncate(0);
    rig.settle_done(&newer, retry()).await;
    assert_eq!(tap.one().await.message.body(), newer.message.body());
    tap.silent().await;
    Ok(())
}

/// gocloud's double ack, in two calls and in one.
async fn an_ack_may_be_repeated<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..2)).await;
    let mut tap = rig.tap().await?;
    let deliveries = tap.take(2).await;

    rig.ack(&deliveries[0]).await;
    let results = rig
        .settle_all([(&deliveries[0], Action::Ack), (&deliveries[1], Action::Ack), (&deliveries[1], Action::Ack)])
        .await;

    assert!(results.iter().all(|result| matches!(result, SettleResult::Done | SettleResult::Lost)), "{results:?}");
    tap.silent().await;
    Ok(())
}

/// gocloud's nack after ack; the nack of another message in the same call takes effect.
async fn a_retry_after_an_ack_has_no_effect<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..2)).await;
    let mut tap = rig.tap().await?;
    let deliveries = tap.take(2).await;
    rig.ack(&deliveries[0]).await;

    let results = rig.settle_all([(&deliveries[0], retry()), (&deliveries[1], retry())]).await;

    assert!(!matches!(results[0], SettleResult::Failed(_)), "{results:?}");
    assert_eq!(tap.one().await.message.body(), deliveries[1].message.body());
    tap.silent().await;
    Ok(())
}

/// Contract 3 of the broker list, the one that loses messages when it is broken: every action through the
/// receipt of an earlier delivery is refused, and the newer one is untouched.
async fn a_stale_receipt_is_lost_whatever_it_asks_for<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish("x").await;
    let mut tap = rig.tap().await?;
    let stale = tap.one().await;
    rig.settle_done(&stale, retry()).await;
    let newer = tap.one().await;
    let mut actions = vec![Action::Ack, retry(), Action::Release, Action::Extend { by: rig.timing.lease }];
    if rig.capabilities.dead_letter {
        actions.push(Action::DeadLetter { reason: "stale".into() });
    }

    for action in actions {
        check_lost(&rig.settle(&stale, action.clone()).await);
        tap.silent_for(rig.timing.silence / 5).await;
    }

    rig.settle_done(&newer, retry()).await;
    let last = tap.one().await;
    rig.check_attempt(&last, 3);
    rig.ack(&last).await;
    tap.silent().await;
    Ok(())
}

async fn concurrent_settles_do_not_disturb_each_other<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..100)).await;
    let mut tap = rig.tap().await?;
    let deliveries = tap.take(100).await;

    join_all(deliveries.chunks(7).map(|deliveries| rig.ack_all(deliveries))).await;

    tap.silent().await;
    Ok(())
}

async fn released<H: Harness>(rig: &Rig<H>) -> Result<(DeliveryOf<H>, DeliveryOf<H>), crate::case::Stop> {
    rig.publish("x").await;
    let mut tap = rig.tap().await?;
    let first = tap.one().await;
    rig.settle_done(&first, Action::Release).await;
    let second = tap.take_within(1, rig.timing.slack).await.remove(0);
    rig.ack(&second).await;
    tap.silent().await;
    Ok((first, second))
}

async fn release_hands_the_message_out_again_at_once<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;

    let (first, second) = released(&rig).await?;

    assert_eq!(first.message.body(), second.message.body());
    Ok(())
}

/// Bug class 3: a shutdown must not bring a message nearer to the dead letter.
async fn release_does_not_count_the_attempt<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    need(rig.capabilities.release, "a release is counted as an attempt")?;

    let (_, second) = released(&rig).await?;

    rig.check_attempt(&second, 1);
    Ok(())
}

async fn what_is_forgotten_is_still_in_the_queue<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_with_short_lease().await?;
    need(rig.has_timed_lease(), "a lease has no end")?;
    rig.publish("x").await;
    let mut tap = rig.tap().await?;
    let delivery = tap.one().await;

    let result = rig.settle(&delivery, Action::Forget).await;
    sleep(rig.timing.lease).await;

    assert!(matches!(result, SettleResult::Done | SettleResult::Lost), "{result:?}");
    assert_eq!(tap.one().await.message.body(), "x");
    Ok(())
}
