//! What fetching hands out, to whom, and how it stops.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use chappe_core::backend::{Backend, Queue};
use chappe_core::{ErrorKind, Message};
use futures_util::future::{join_all, try_join_all};
use tokio::time::sleep;

use crate::case::{Case, Stop, Verdict, cases};
use crate::harness::Harness;
use crate::rig::{Bench, Rig, check_same, number_of, numbered, retry};

/// How far the broker's clock may be off, as it stamps messages.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["queue/delivery":
        a_message_arrives_with_key_id_source_and_attempt,
        a_message_says_when_it_was_published,
        every_message_has_an_id_of_its_own,
        what_was_published_before_anyone_consumed_is_kept,
        a_waiting_consumer_is_woken_by_a_message,
        fetch_never_returns_more_than_was_asked_for,
        a_message_that_is_out_is_not_handed_out_again,
        an_idle_consumer_stops_at_once,
        stopping_in_the_middle_loses_nothing,
        consumers_that_come_and_go_lose_nothing,
        competing_consumers_get_everything_once,
        queues_do_not_mix,
        a_redelivered_message_is_the_very_same,
        what_a_handler_does_to_a_message_is_not_redelivered,
        the_depth_counts_what_waits_and_what_is_out,
        the_status_counts_what_passes,
    ]
}

/// P2, P3 and G1: everything the broker knows has a place, and none of it is an attribute.
async fn a_message_arrives_with_key_id_source_and_attempt<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let mut message = Message::new("x");
    message.set_key("room-1");
    message.attributes_mut().insert("only", "one");

    rig.publish(message).await;
    let delivery = rig.tap().await?.one().await;

    let message = &delivery.message;
    assert_eq!(message.key(), Some(&"room-1".into()));
    assert!(message.id().is_some(), "no id");
    assert!(message.source().is_some_and(|source| !source.is_empty()), "no source");
    assert_eq!(message.attributes().len(), 1, "more attributes than were published: {:?}", message.attributes());
    assert_eq!(message.delay(), None, "the delay is the publisher's business");
    rig.check_attempt(&delivery, 1);
    Ok(())
}

async fn a_message_says_when_it_was_published<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let before = SystemTime::now() - CLOCK_SKEW;
    rig.publish("x").await;

    let delivery = rig.tap().await?.one().await;

    let published = delivery.message.published().expect("no time of publication");
    assert!(published >= before && published <= SystemTime::now() + CLOCK_SKEW, "published at {published:?}");
    Ok(())
}

async fn every_message_has_an_id_of_its_own<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all((0..100).map(|_| "the same body")).await;

    let deliveries = rig.tap().await?.take(100).await;

    let ids: HashSet<_> = deliveries.iter().map(|delivery| delivery.message.id().cloned()).collect();
    assert_eq!(ids.len(), 100);
    Ok(())
}

async fn what_was_published_before_anyone_consumed_is_kept<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish("early").await;
    sleep(rig.timing.silence).await;

    assert_eq!(rig.tap().await?.one().await.message.body(), "early");
    Ok(())
}

async fn a_waiting_consumer_is_woken_by_a_message<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let mut tap = rig.tap().await?;
    tap.silent().await;

    for number in 0..5 {
        rig.publish(number.to_string()).await;
        let delivery = tap.take_within(1, rig.timing.slack).await.remove(0);
        assert_eq!(number_of(&delivery.message), number);
        rig.ack(&delivery).await;
    }
    Ok(())
}

/// Checked in every fetch of the suite; here with a full queue and the smallest numbers.
async fn fetch_never_returns_more_than_was_asked_for<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..30)).await;
    let mut tap = rig.tap().await?;

    for ask in [1, 2, 3, 1, 23] {
        rig.ack_all(&tap.take(ask).await).await;
    }

    tap.silent().await;
    Ok(())
}

async fn a_message_that_is_out_is_not_handed_out_again<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish("one").await;
    let mut first = rig.tap().await?;
    let held = first.one().await;

    let mut second = rig.tap().await?;
    second.silent().await;
    first.silent().await;

    rig.ack(&held).await;
    Ok(())
}

/// No. 4 of the Go list: also in a long poll. The tap allows a second.
async fn an_idle_consumer_stops_at_once<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let unasked = rig.tap().await?;
    let mut polling = rig.tap().await?;
    polling.silent().await;

    let rest = (unasked.stop().await, polling.stop().await);

    assert!(rest.0.is_empty() && rest.1.is_empty());
    Ok(())
}

/// A8 and Wolverine's stranded messages: what the last fetch leased is handed out, not swallowed.
async fn stopping_in_the_middle_loses_nothing<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open_with_short_lease().await?;
    let mut seen = HashSet::new();
    for round in 0..10 {
        let mut tap = rig.tap().await?;
        // A fetch is under way when messages and the stop arrive together.
        let none = tap.up_to(20, Duration::from_millis(2)).await;
        let (_, rest) = tokio::join!(rig.publish_all(numbered(round * 20..(round + 1) * 20)), tap.stop());
        let got: Vec<_> = none.into_iter().chain(rest).collect();
        rig.ack_all(&got).await;
        seen.extend(got.iter().map(|delivery| number_of(&delivery.message)));
    }

    let mut tap = rig.tap().await?;
    // What a stopped consumer did not own up to would only come back when its lease is over.
    let rest = tap.up_to(200 - seen.len(), rig.timing.lease / 2).await;
    rig.ack_all(&rest).await;

    seen.extend(rest.iter().map(|delivery| number_of(&delivery.message)));
    assert_eq!(seen.len(), 200, "messages were leased by a consumer that stopped and never handed out");
    Ok(())
}

/// Watermill's concurrent close.
async fn consumers_that_come_and_go_lose_nothing<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let taps = try_join_all((0..10).map(|_| rig.tap())).await?;
    join_all(taps.into_iter().map(crate::tap::Tap::stop)).await;

    rig.publish_all(numbered(0..50)).await;

    rig.tap().await?.take(50).await;
    Ok(())
}

/// Row 2 of the broker list.
async fn competing_consumers_get_everything_once<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let volume = bench.volume();
    let published = AtomicBool::new(false);
    let publish = async {
        for start in (0..volume).step_by(1000) {
            rig.publish_all(numbered(start..volume.min(start + 1000))).await;
        }
        published.store(true, Ordering::SeqCst);
    };

    let (got, ()) = tokio::join!(try_join_all((0..4).map(|_| compete(&rig, &published))), publish);

    let mut all = got?.concat();
    all.sort_unstable();
    let got = all.len();
    all.dedup();
    assert_eq!(all.len(), volume, "{} of {volume} messages were lost", volume - all.len());
    assert_eq!(got, volume, "{} messages came twice", got - volume);
    Ok(())
}

/// Fetches and acknowledges through a handle of its own until everything is published and nothing comes any more.
async fn compete<H: Harness>(rig: &Rig<H>, published: &AtomicBool) -> Result<Vec<usize>, Stop> {
    let queue = rig.another_queue().await?;
    let mut tap = rig.tap_into(&queue).await?;
    let mut got = Vec::new();
    loop {
        let all = published.load(Ordering::SeqCst);
        let deliveries = tap.up_to(100, rig.timing.silence * 2).await;
        if deliveries.is_empty() && !all {
            continue;
        }
        if deliveries.is_empty() {
            tap.stop().await;
            return Ok(got);
        }
        rig.ack_all_through(&queue, &deliveries).await;
        got.extend(deliveries.iter().map(|delivery| number_of(&delivery.message)));
    }
}

async fn queues_do_not_mix<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let one = bench.open().await?;
    let other = bench.open().await?;
    one.publish("for one").await;
    other.publish("for the other").await;

    let (mut a, mut b) = (one.tap().await?, other.tap().await?);

    assert_eq!(a.one().await.message.body(), "for one");
    assert_eq!(b.one().await.message.body(), "for the other");
    a.silent().await;
    b.silent().await;
    Ok(())
}

/// Defect 1 of go-msg, whose retry delivers an empty body.
async fn a_redelivered_message_is_the_very_same<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let mut message = Message::new((0..=u8::MAX).collect::<Vec<u8>>());
    message.attributes_mut().append("a", "1");
    message.set_key("k");
    rig.publish(message.clone()).await;
    let mut tap = rig.tap().await?;

    for attempt in 1..=3 {
        let delivery = tap.one().await;
        check_same(&delivery.message, &message);
        rig.check_attempt(&delivery, attempt);
        rig.settle_done(&delivery, retry()).await;
    }
    Ok(())
}

/// Defect 2 of go-msg, whose decoders change the stored message.
async fn what_a_handler_does_to_a_message_is_not_redelivered<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let mut message = Message::new("original");
    message.attributes_mut().insert("encoding", "none");
    rig.publish(message.clone()).await;
    let mut tap = rig.tap().await?;

    let mut delivery = tap.one().await;
    let kept = delivery.clone();
    delivery.message.set_body("changed");
    delivery.message.attributes_mut().clear();
    // Where the backend publishes again to retry it is handed the message as it was fetched.
    rig.settle_done(&kept, retry()).await;

    check_same(&tap.one().await.message, &message);
    Ok(())
}

async fn the_depth_counts_what_waits_and_what_is_out<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    match rig.queue.depth().await {
        Err(error) if error.kind() == ErrorKind::Unsupported => return Err(Stop::Skip(error.to_string())),
        depth => assert_eq!(depth?.ready, 0),
    }
    rig.publish_all(numbered(0..10)).await;
    let full = rig.depth_when(|depth| depth.ready == 10).await?;
    let deliveries = rig.tap().await?.take(3).await;
    let out = rig.depth_when(|depth| depth.ready + depth.in_flight == 10 && depth.in_flight >= 3).await?;
    rig.ack_all(&deliveries).await;
    let acked = rig.depth_when(|depth| depth.ready + depth.in_flight == 7).await?;

    assert_eq!((full.in_flight, out.dead, acked.delayed), (0, 0, 0));
    Ok(())
}

async fn the_status_counts_what_passes<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..7)).await;
    rig.tap().await?.take(7).await;

    assert!(rig.queue.status().is_healthy(), "{:?}", rig.queue.status());
    assert!(rig.queue.status().health().epoch >= 1, "connected, but in epoch 0");
    assert!(rig.queue.status().stats().received >= 7, "{:?}", rig.queue.status());
    assert!(!rig.queue.system().is_empty() && !rig.queue.destination().is_empty());
    assert!(rig.publisher().status().stats().sent >= 7, "{:?}", rig.publisher().status());
    Ok(())
}
