//! Messages that are held back when they are published.

use std::time::Duration;

use chappe_core::backend::Delay;
use chappe_core::{ErrorKind, Message, Topic};
use tokio::time::Instant;

use crate::case::{Case, Stop, Verdict, cases, need};
use crate::harness::Harness;
use crate::rig::{Bench, EARLY, Rig, number_of, refusal};

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["queue/delay":
        a_delayed_message_is_not_early_and_not_much_late,
        a_delayed_message_with_a_key_is_not_early_either,
        delayed_messages_come_in_the_order_they_are_due,
        a_delayed_message_does_not_hold_others_back,
        no_delay_is_no_delay,
        a_delay_beyond_the_limit_is_invalid,
        a_delay_where_there_is_none_is_unsupported,
    ]
}

fn delayed(number: usize, by: Duration) -> Message {
    let mut message = Message::new(number.to_string());
    message.set_delay(by);
    message
}

async fn open<'a, H: Harness>(bench: &Bench<'a, H>) -> Result<Rig<H>, Stop> {
    let rig = bench.open().await?;
    need(rig.publish.delay != Delay::None, "the broker does not delay")?;
    Ok(rig)
}

/// S9 of go-aws-msg, and number 17.
async fn a_delayed_message_is_not_early_and_not_much_late<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open(&bench).await?;
    let mut tap = rig.tap().await?;

    let from = Instant::now();
    rig.publish(delayed(0, rig.timing.delay)).await;
    let delivery = tap.one().await;
    let after = from.elapsed();

    assert!(after + EARLY >= rig.timing.delay, "came after {after:?}");
    let latest = if rig.publish.delay == Delay::Buckets { rig.timing.patience } else { rig.timing.slack };
    assert!(after <= rig.timing.delay + latest, "came after {after:?}");
    rig.check_attempt(&delivery, 1);
    Ok(())
}

/// Where order is kept, a delay may well take another way through the broker.
async fn a_delayed_message_with_a_key_is_not_early_either<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_ordered().await?;
    need(rig.publish.delay != Delay::None, "the broker does not delay")?;
    let mut message = delayed(0, rig.timing.delay);
    message.set_key("k");

    let from = Instant::now();
    rig.publish(message).await;
    rig.tap().await?.one().await;

    assert!(from.elapsed() + EARLY >= rig.timing.delay, "came after {:?}", from.elapsed());
    Ok(())
}

async fn delayed_messages_come_in_the_order_they_are_due<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open(&bench).await?;
    need(rig.publish.delay != Delay::Buckets, "delays are not exact")?;
    for (number, steps) in [(0, 3), (1, 1), (2, 2)] {
        rig.publish(delayed(number, rig.timing.delay * steps)).await;
    }

    let mut tap = rig.tap().await?;
    let mut order = Vec::new();
    for _ in 0..3 {
        order.push(number_of(&tap.one().await.message));
    }

    assert_eq!(order, [1, 2, 0]);
    Ok(())
}

async fn a_delayed_message_does_not_hold_others_back<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open(&bench).await?;
    rig.publish(delayed(0, rig.timing.delay)).await;
    rig.publish("1").await;
    rig.publish("2").await;

    let mut tap = rig.tap().await?;
    let mut first: Vec<_> = tap.take(2).await.iter().map(|delivery| number_of(&delivery.message)).collect();
    first.sort_unstable();

    assert_eq!(first, [1, 2]);
    assert_eq!(number_of(&tap.one().await.message), 0);
    Ok(())
}

async fn no_delay_is_no_delay<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;

    rig.publish(delayed(7, Duration::ZERO)).await;

    assert_eq!(number_of(&rig.tap().await?.one().await.message), 7);
    Ok(())
}

async fn a_delay_beyond_the_limit_is_invalid<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = open(&bench).await?;
    let Delay::Exact { max: Some(max) } = rig.publish.delay else {
        return need(false, "any delay is kept");
    };

    let error = refusal(rig.topic().publish(delayed(0, max + Duration::from_secs(1))).await);

    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    rig.tap().await?.silent().await;
    Ok(())
}

/// Defect 28 of go-msg, the delay that is silently not one.
async fn a_delay_where_there_is_none_is_unsupported<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    need(rig.publish.delay == Delay::None, "the broker delays")?;

    let error = refusal(rig.topic().publish(delayed(0, Duration::from_secs(1))).await);

    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    rig.tap().await?.silent().await;
    Ok(())
}
