//! What order is kept.

use std::collections::HashMap;
use std::time::Duration;

use chappe_core::backend::{Action, Delay, Order};
use chappe_core::{Key, Message};

use crate::case::{Case, Stop, Verdict, cases, need};
use crate::harness::Harness;
use crate::rig::{Bench, DeliveryOf, Rig, number_of, retry, retry_after};

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["queue/order":
        messages_of_a_key_come_in_the_order_they_were_published,
        the_next_of_a_key_waits_until_the_one_before_is_settled,
        a_retried_message_comes_before_its_followers,
        a_waiting_retry_holds_its_followers_back,
        a_released_message_keeps_its_place,
        a_batch_released_in_any_order_keeps_its_places,
        a_failing_key_does_not_hold_other_keys_back,
        messages_without_a_key_do_not_wait_for_each_other,
        a_dead_letter_opens_the_way_for_its_followers,
        a_lost_lease_does_not_let_followers_pass,
    ]
}

async fn open<'a, H: Harness>(bench: &Bench<'a, H>) -> Result<Rig<H>, Stop> {
    let rig = bench.open_ordered().await?;
    need(rig.capabilities.order != Order::None, "no order is kept")?;
    Ok(rig)
}

async fn open_exclusive<'a, H: Harness>(bench: &Bench<'a, H>) -> Result<Rig<H>, Stop> {
    let rig = open(bench).await?;
    need(rig.capabilities.order == Order::LaneExclusive, "several messages of a key are out at once")?;
    Ok(rig)
}

fn keyed(key: &'static str, number: usize) -> Message {
    let mut message = Message::new(number.to_string());
    message.set_key(key);
    message
}

/// Publishes one after the other, as an order only exists among messages that are.
async fn publish_in_order<H: Harness>(rig: &Rig<H>, messages: impl IntoIterator<Item = Message>) {
    for message in messages {
        rig.publish(message).await;
    }
}

fn key_of<H: Harness>(delivery: &DeliveryOf<H>) -> Key {
    delivery.message.key().cloned().expect("every message has a key")
}

/// Watermill's order test.
async fn messages_of_a_key_come_in_the_order_they_were_published<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open(&bench).await?;
    let keys = ["a", "b", "c", "d", "e"];
    publish_in_order(&rig, (0..100).map(|number| keyed(keys[number % keys.len()], number))).await;

    let mut tap = rig.tap().await?;
    let mut last = HashMap::new();
    let mut count = 0;
    while count < 100 {
        let deliveries = tap.up_to(7, rig.timing.slack).await;
        assert!(!deliveries.is_empty(), "only {count} of 100 messages came");
        for delivery in &deliveries {
            let number = number_of(&delivery.message);
            let before = last.insert(key_of::<H>(delivery), number);
            assert!(before.is_none_or(|before| before < number), "{number} came after {before:?}");
        }
        count += deliveries.len();
        rig.ack_all(&deliveries).await;
    }
    Ok(())
}

/// Watermill's no-ack test.
async fn the_next_of_a_key_waits_until_the_one_before_is_settled<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open_exclusive(&bench).await?;
    publish_in_order(&rig, (0..3).map(|number| keyed("k", number))).await;
    let mut tap = rig.tap().await?;

    for number in 0..3 {
        let deliveries = tap.up_to(3, rig.timing.silence).await;
        assert_eq!(deliveries.len(), 1, "two of a key are out");
        assert_eq!(number_of(&deliveries[0].message), number);
        rig.ack(&deliveries[0]).await;
    }
    Ok(())
}

/// Numbers 23 and A26: m2 never runs before m1 has.
async fn a_retried_message_comes_before_its_followers<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open_exclusive(&bench).await?;
    publish_in_order(&rig, (0..4).map(|number| keyed("k", number))).await;
    let mut tap = rig.tap().await?;

    for number in 0..4 {
        for attempt in 1..=3 {
            let delivery = tap.one().await;
            assert_eq!(number_of(&delivery.message), number, "attempt {attempt}");
            let action = if attempt < 3 { retry() } else { Action::Ack };
            rig.settle_done(&delivery, action).await;
        }
    }
    Ok(())
}

async fn a_waiting_retry_holds_its_followers_back<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open_exclusive(&bench).await?;
    need(rig.capabilities.retry_delay != Delay::None, "the broker does not hold retries back")?;
    publish_in_order(&rig, (0..3).map(|number| keyed("k", number))).await;
    let mut tap = rig.tap().await?;
    let head = tap.one().await;

    rig.settle_done(&head, retry_after(rig.timing.delay)).await;

    for number in 0..3 {
        let delivery = tap.one().await;
        assert_eq!(number_of(&delivery.message), number);
        rig.ack(&delivery).await;
    }
    Ok(())
}

async fn a_released_message_keeps_its_place<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open(&bench).await?;
    publish_in_order(&rig, (0..3).map(|number| keyed("k", number))).await;
    let mut tap = rig.tap().await?;
    let head = tap.one().await;

    rig.settle_done(&head, Action::Release).await;

    for number in 0..3 {
        let delivery = tap.one().await;
        assert_eq!(number_of(&delivery.message), number);
        rig.ack(&delivery).await;
    }
    Ok(())
}

/// What a shutdown does with what it fetched and did not start.
async fn a_batch_released_in_any_order_keeps_its_places<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open(&bench).await?;
    publish_in_order(&rig, (0..8).map(|number| keyed("k", number))).await;
    let mut tap = rig.tap().await?;
    let deliveries = tap.up_to(6, rig.timing.silence).await;

    rig.settle_all(deliveries.iter().rev().map(|delivery| (delivery, Action::Release))).await;

    let mut order = Vec::new();
    while order.len() < 8 {
        let delivery = tap.one().await;
        order.push(number_of(&delivery.message));
        rig.ack(&delivery).await;
    }
    assert_eq!(order, [0, 1, 2, 3, 4, 5, 6, 7]);
    Ok(())
}

/// Number 24, Watermill's issue 224.
async fn a_failing_key_does_not_hold_other_keys_back<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open(&bench).await?;
    need(rig.capabilities.retry_delay != Delay::None, "the broker does not hold retries back")?;
    publish_in_order(&rig, [keyed("bad", 0), keyed("bad", 1), keyed("good", 2), keyed("good", 3)]).await;
    let mut tap = rig.tap().await?;
    let mut good = Vec::new();
    let until = tokio::time::Instant::now() + rig.timing.patience;

    while good.len() < 2 {
        assert!(tokio::time::Instant::now() < until, "the good key got no further than {good:?}");
        let delivery = tap.one().await;
        if delivery.message.key() == Some(&"good".into()) {
            good.push(number_of(&delivery.message));
            rig.ack(&delivery).await;
        } else {
            rig.settle_done(&delivery, retry_after(Duration::from_secs(600))).await;
        }
    }

    assert_eq!(good, [2, 3]);
    Ok(())
}

async fn messages_without_a_key_do_not_wait_for_each_other<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_ordered().await?;
    rig.publish_all(["a", "b", "c"]).await;

    let deliveries = rig.tap().await?.take(3).await;

    rig.ack_all(&deliveries).await;
    Ok(())
}

async fn a_dead_letter_opens_the_way_for_its_followers<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open(&bench).await?;
    need(rig.capabilities.dead_letter, "no dead letter")?;
    publish_in_order(&rig, (0..2).map(|number| keyed("k", number))).await;
    let mut tap = rig.tap().await?;
    let head = tap.one().await;

    rig.settle_done(&head, Action::DeadLetter { reason: "enough".into() }).await;

    assert_eq!(number_of(&tap.one().await.message), 1);
    Ok(())
}

async fn a_lost_lease_does_not_let_followers_pass<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let lease = bench.timing().lease;
    let rig = bench
        .open_with(|setup| {
            setup.ordered = true;
            setup.lease = lease;
        })
        .await?;
    need(rig.capabilities.order == Order::LaneExclusive, "several messages of a key are out at once")?;
    need(rig.has_timed_lease(), "a lease has no end")?;
    publish_in_order(&rig, (0..2).map(|number| keyed("k", number))).await;
    let mut tap = rig.tap().await?;
    let _lost = tap.one().await;

    let again = tap.take_within(1, rig.lease() + rig.timing.slack).await.remove(0);

    assert_eq!(number_of(&again.message), 0);
    rig.ack(&again).await;
    assert_eq!(number_of(&tap.one().await.message), 1);
    Ok(())
}
