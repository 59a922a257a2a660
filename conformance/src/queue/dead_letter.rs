//! What becomes of a message that is given up.

use std::time::{Duration, SystemTime};

use chappe_core::Message;
use chappe_core::backend::{Action, Attempts, Backend, DeadLetter, SettleResult};

use crate::case::{Case, Verdict, cases, need};
use crate::harness::Harness;
use crate::rig::{Bench, check_same, drain, number_of, numbered, retry};

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["queue/dead_letter":
        a_dead_letter_has_body_attributes_and_reason_intact,
        the_queue_is_empty_once_the_message_is_dead,
        a_long_or_odd_reason_does_not_lose_the_message,
        a_batch_may_be_given_up_in_one_call,
        a_dead_letter_is_a_message_like_any_other,
        a_dead_letter_published_again_starts_anew,
        without_a_dead_letter_nothing_is_discarded,
    ]
}

/// Row 4 of the broker list.
async fn a_dead_letter_has_body_attributes_and_reason_intact<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let dead = rig.dead_letter().await?;
    let mut message = Message::new(vec![0, 159, 146, 150]);
    message.attributes_mut().insert("Type", "order");
    message.set_key("k");
    rig.publish(message.clone()).await;
    let mut tap = rig.tap().await?;
    let first = tap.one().await;
    rig.settle_done(&first, retry()).await;
    let second = tap.one().await;
    let before = SystemTime::now() - Duration::from_secs(60);

    rig.settle_done(&second, Action::DeadLetter { reason: "cannot be parsed".into() }).await;
    let delivery = rig.tap_into(&dead).await?.one().await;

    check_same(&delivery.message, &message);
    let letter = delivery.message.extensions().get::<DeadLetter>().expect("a dead letter says why it is one");
    assert_eq!(&*letter.reason, "cannot be parsed");
    assert_eq!(&*letter.source, rig.queue.destination());
    assert!(letter.at >= before, "given up at {:?}", letter.at);
    if rig.capabilities.attempts == Attempts::Exact {
        assert_eq!(letter.attempts, 2);
    }
    Ok(())
}

async fn the_queue_is_empty_once_the_message_is_dead<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_with_short_lease().await?;
    let dead = rig.dead_letter().await?;
    rig.publish("x").await;
    let mut tap = rig.tap().await?;
    let delivery = tap.one().await;

    rig.settle_done(&delivery, Action::DeadLetter { reason: "enough".into() }).await;

    tap.silent_for(rig.timing.lease * 2).await;
    assert_eq!(drain(&rig, &dead).await?.len(), 1);
    Ok(())
}

async fn a_long_or_odd_reason_does_not_lose_the_message<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let dead = rig.dead_letter().await?;
    let reasons = [String::new(), "line\nbreak \0 nul \u{7f}".to_owned(), "🔥".to_owned(), "long ".repeat(2000)];
    rig.publish_all(numbered(0..reasons.len())).await;
    let deliveries = rig.tap().await?.take(reasons.len()).await;

    for (delivery, reason) in deliveries.iter().zip(&reasons) {
        rig.settle_done(delivery, Action::DeadLetter { reason: reason.as_str().into() }).await;
    }

    assert_eq!(drain(&rig, &dead).await?.len(), reasons.len());
    Ok(())
}

async fn a_batch_may_be_given_up_in_one_call<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let dead = rig.dead_letter().await?;
    rig.publish_all(numbered(0..12)).await;
    let mut tap = rig.tap().await?;
    let deliveries = tap.take(12).await;
    let reason = |at: usize| format!("reason {at}");

    let results = rig
        .settle_all(deliveries.iter().map(|delivery| {
            (delivery, Action::DeadLetter { reason: reason(number_of(&delivery.message)).as_str().into() })
        }))
        .await;
    let letters = drain(&rig, &dead).await?;

    assert!(results.iter().all(|result| matches!(result, SettleResult::Done)), "{results:?}");
    assert_eq!(letters.len(), 12);
    for message in &letters {
        let letter = message.extensions().get::<DeadLetter>().expect("a dead letter says why it is one");
        assert_eq!(*letter.reason, *reason(number_of(message)), "the reasons were mixed up");
    }
    tap.silent().await;
    Ok(())
}

async fn a_dead_letter_is_a_message_like_any_other<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let dead = rig.dead_letter().await?;
    rig.publish("x").await;
    let delivery = rig.tap().await?.one().await;
    rig.settle_done(&delivery, Action::DeadLetter { reason: "enough".into() }).await;
    let mut tap = rig.tap_into(&dead).await?;

    let letter = tap.one().await;
    tap.silent().await;
    rig.ack_all_through(&dead, std::slice::from_ref(&letter)).await;

    assert!(letter.message.attributes().is_empty(), "the reason became an attribute");
    tap.silent().await;
    Ok(())
}

/// Bug class 23, the way back: attempts begin again, and nothing of the first life sticks to it.
async fn a_dead_letter_published_again_starts_anew<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let dead = rig.dead_letter().await?;
    let mut message = Message::new("x");
    message.attributes_mut().insert("type", "order");
    rig.publish(message.clone()).await;
    let mut tap = rig.tap().await?;
    let delivery = tap.one().await;
    rig.settle_done(&delivery, Action::DeadLetter { reason: "too early".into() }).await;

    for letter in drain(&rig, &dead).await? {
        rig.publish(letter.into_outgoing()).await;
    }
    let again = tap.one().await;

    check_same(&again.message, &message);
    rig.check_attempt(&again, 1);
    assert!(again.message.extensions().get::<DeadLetter>().is_none(), "it still says that it is dead");
    Ok(())
}

async fn without_a_dead_letter_nothing_is_discarded<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_with(|setup| setup.dead_letter = false).await?;
    need(!rig.capabilities.dead_letter, "there is always a dead letter")?;
    rig.publish("x").await;
    let mut tap = rig.tap().await?;
    let delivery = tap.one().await;

    let result = rig.settle(&delivery, Action::DeadLetter { reason: "enough".into() }).await;

    assert!(matches!(result, SettleResult::Failed(_)), "{result:?}");
    rig.settle_done(&delivery, retry()).await;
    assert_eq!(tap.one().await.message.body(), "x");
    Ok(())
}
