//! What every subscriber receives, and what it is told when it does not.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use chappe::server::{Backoff, Subscribed};
use chappe::{BoxError, Message, Server};
use chappe_core::ErrorKind;
use chappe_core::backend::{Backend, Broadcast, Overflow, Publisher, Signal, SubscribeOptions};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower::service_fn;

use super::BroadcastHarness;
use super::listener::{BusBench, message, publish, text};
use crate::case::{Case, Stop, Verdict, cases};
use crate::rig::check_same;

pub(crate) fn cases<'a, H: BroadcastHarness>() -> Vec<Case<'a, BusBench<'a, H>>> {
    cases!["broadcast":
        every_subscriber_gets_a_copy,
        a_message_arrives_as_it_was_or_is_refused,
        what_was_published_before_is_not_received,
        messages_of_one_publisher_keep_their_order,
        what_has_expired_is_not_received,
        topics_do_not_mix,
        subscribing_twice_makes_two_subscriptions,
        ones_own_messages_are_received_unless_not_wanted,
        the_oldest_are_dropped_for_a_slow_subscriber_and_counted,
        the_newest_are_dropped_for_a_slow_subscriber_and_counted,
        a_slow_subscriber_does_not_hold_others_back,
        a_slow_subscriber_is_disconnected_where_it_asked_for_that,
        a_publisher_waits_for_a_slow_subscriber_where_it_asked_for_that,
        a_stopped_subscription_returns_what_waits_and_ends_at_once,
        nothing_is_dropped_for_a_subscriber_that_has_gone,
        closing_ends_what_was_subscribed_and_publishes_no_more,
        a_disconnect_is_told_as_a_gap_and_messages_go_on,
        a_bus_is_served_like_a_queue,
    ]
}

fn small(overflow: Overflow) -> SubscribeOptions {
    SubscribeOptions::new().buffer(NonZeroUsize::new(4).expect("4 is not zero")).overflow(overflow)
}

fn texts(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

async fn every_subscriber_gets_a_copy<H: BroadcastHarness>(bench: BusBench<'_, H>) -> Verdict {
    let bus = bench.open().await?;
    let other = bus.another().await?;
    let mut first = bus.listen().await?;
    let mut second = bus.listen_with(&other, SubscribeOptions::new()).await?;

    bus.publish_numbers(0..3).await;

    assert_eq!(first.bodies(3).await, texts(0..3));
    assert_eq!(second.bodies(3).await, texts(0..3));
    first.silent().await;
    second.silent().await;
    Ok(())
}

async fn a_message_arrives_as_it_was_or_is_refused<H: BroadcastHarness>(bench: BusBench<'_, H>) -> Verdict {
    let bus = bench.open().await?;
    let mut listener = bus.listen().await?;
    let mut odd = Message::new((0..=u8::MAX).collect::<Vec<u8>>());
    odd.attributes_mut().append("mIxEd", "a,b");
    odd.attributes_mut().append("größe", "");
    odd.attributes_mut().append("mIxEd", vec![0, 255]);

    for sent in [Message::new(""), odd] {
        match bus.handle.publish_capabilities().check(&sent) {
            Ok(()) => {
                bus.publish(sent.clone()).await;
                check_same(message(&listener.signals(1).await[0]), &sent);
            }
            Err(refusal) => {
                let error = publish(&bus.handle, sent).await.expect_err("it is declared to be refused");
                assert_eq!(error.kind(), refusal.kind());
            }
        }
    }
    Ok(())
}

async fn what_was_published_before_is_not_received<H: BroadcastHarness>(bench: BusBench<'_, H>) -> Verdict {
    let bus = bench.open().await?;
    bus.publish("early").await;

    let mut listener = bus.listen().await?;
    bus.publish("late").await;

    assert_eq!(listener.bodies(1).await, ["late"]);
    Ok(())
}

async fn messages_of_one_publisher_keep_their_order<H: BroadcastHarness>(bench: BusBench<'_, H>) -> Verdict {
    let bus = bench.open().await?;
    let options = SubscribeOptions::new().buffer(NonZeroUsize::new(1000).expect("1000 is not zero"));
    let mut listener = bus.listen_with(&bus.handle, options).await?;

    bus.publish_numbers(0..500).await;

    assert_eq!(listener.bodies(500).await, texts(0..500));
    Ok(())
}

async fn what_has_expired_is_not_received<H: BroadcastHarness>(bench: BusBench<'_, H>) -> Verdict {
    let bus = bench.open().await?;
    let mut listener = bus.listen().await?;
    let expiring = |body: &'static str, at: SystemTime| {
        let mut message = Message::new(body);
        message.set_expires(at);
        message
    };

    bus.publish(expiring("late", SystemTime::now() - Duration::from_secs(1))).await;
    bus.publish(expiring("in time", SystemTime::now() + Duration::from_secs(600))).await;

    assert_eq!(listener.bodies(1).await, ["in time"]);
    listener.silent().await;
    assert_eq!(bus.handle.status().stats().dropped, 1);
    Ok(())
}

async fn topics_do_not_mix<H: BroadcastHarness>(bench: BusBench<'_, H>) -> Verdict {
    let (one, other) = (bench.open().await?, bench.open().await?);
    let (mut first, mut second) = (one.listen().await?, other.listen().await?);

    one.publish("for one").await;

    assert_eq!(first.bodies(1).await, ["for one"]);
    second.silent().await;
    Ok(())
}

/// tavern hands out the existing channel, and the two who read it compete.
async fn subscribing_twice_makes_two_subscriptions<H: BroadcastHarness>(bench: BusBench<'_, H>) -> Verdict {
    let bus = bench.open().await?;
    let (mut first, mut second) = (bus.listen().await?, bus.listen().await?);

    bus.publish("x").await;

    assert_eq!(first.bodies(1).await, ["x"]);
    assert_eq!(second.bodies(1).await, ["x"]);
    Ok(())
}

/// The fork of tavern.
async fn ones_own_messages_are_received_unless_not_wanted<H: BroadcastHarness>(bench: BusBench<'_, H>) -> Verdict {
    let bus = bench.open().await?;
    let other = bus.another().await?;
    let mut with = bus.listen().await?;
    let mut without = bus.listen_with(&bus.handle, SubscribeOptions::new().echo(false)).await?;

    bus.publish("mine").await;
    publish(&other, Message::new("theirs")).await?;

    let mut both = with.bodies(2).await;
    both.sort();
    assert_eq!(both, ["mine", "theirs"]);
    assert_eq!(without.bodies(1).await, ["theirs"]);
    without.silent().await;
    Ok(())
}

async fn the_oldest_are_dropped_for_a_slow_subscriber_and_counted<H: BroadcastHarness>(
    bench: BusBench<'_, H>,
) -> Verdict {
    let (got, missed) = overflown(&bench, Overflow::DropOldest).await?;

    assert_eq!(got.last().map(String::as_str), Some("199"), "the newest was dropped");
    assert_eq!(got.len() as u64 + missed, 200, "{missed} were told to be missed, and {} came", got.len());
    Ok(())
}

async fn the_newest_are_dropped_for_a_slow_subscriber_and_counted<H: BroadcastHarness>(
    bench: BusBench<'_, H>,
) -> Verdict {
    let (got, missed) = overflown(&bench, Overflow::DropNewest).await?;

    assert_eq!(got.first().map(String::as_str), Some("0"), "the oldest was dropped");
    assert_eq!(got.len() as u64 + missed, 200, "{missed} were told to be missed, and {} came", got.len());
    Ok(())
}

/// Publishes 200 messages to a subscriber with room for four that does not look.
async fn overflown<H: BroadcastHarness>(
    bench: &BusBench<'_, H>,
    overflow: Overflow,
) -> Result<(Vec<String>, u64), Stop> {
    let bus = bench.open().await?;
    let mut listener = bus.listen_with(&bus.handle, small(overflow)).await?;
    bus.publish_numbers(0..200).await;
    sleep(bus.timing.silence).await;

    let (mut got, mut missed) = (Vec::new(), 0);
    for signal in listener.up_to(400, bus.timing.silence).await {
        match signal {
            Signal::Message(message) => got.push(text(&message)),
            Signal::Lagged(count) => missed += count,
            other => panic!("nothing was disconnected, and still {other:?}"),
        }
    }
    assert!(missed > 0, "nothing was dropped for a subscriber with room for four");
    Ok((got, missed))
}

async fn a_slow_subscriber_does_not_hold_others_back<H: BroadcastHarness>(bench: BusBench<'_, H>) -> Verdict {
    let bus = bench.open().await?;
    let _slow = bus.listen_with(&bus.handle, small(Overflow::DropOldest)).await?;
    let mut quick = bus.listen().await?;

    for number in texts(0..50) {
        bus.publish(number.clone()).await;
        assert_eq!(quick.bodies(1).await, [number]);
    }
    Ok(())
}

async fn a_slow_subscriber_is_disconnected_where_it_asked_for_that<H: BroadcastHarness>(
    bench: BusBench<'_, H>,
) -> Verdict {
    let bus = bench.open().await?;
    let mut listener = bus.listen_with(&bus.handle, small(Overflow::Disconnect)).await?;

    bus.publish_numbers(0..200).await;
    let (signals, end) = listener.end().await;

    assert_eq!(end.expect_err("it should have been disconnected").kind(), ErrorKind::Unavailable);
    let got: Vec<_> = signals.iter().map(|signal| text(message(signal))).collect();
    assert!(!got.is_empty() && got == texts(0..got.len()), "what waited was not received: {got:?}");
    Ok(())
}

async fn a_publisher_waits_for_a_slow_subscriber_where_it_asked_for_that<H: BroadcastHarness>(
    bench: BusBench<'_, H>,
) -> Verdict {
    let bus = bench.open().await?;
    let block = Overflow::Block { timeout: bus.timing.patience };
    let mut listener = bus.listen_with(&bus.handle, small(block)).await?;

    let ((), got) = tokio::join!(bus.publish_numbers(0..50), async {
        sleep(bus.timing.silence).await;
        listener.bodies(50).await
    });

    assert_eq!(got, texts(0..50));
    Ok(())
}

async fn a_stopped_subscription_returns_what_waits_and_ends_at_once<H: BroadcastHarness>(
    bench: BusBench<'_, H>,
) -> Verdict {
    let bus = bench.open().await?;
    let (mut full, mut idle) = (bus.listen().await?, bus.listen().await?);
    bus.publish_numbers(0..3).await;
    assert_eq!(idle.bodies(3).await, texts(0..3));
    sleep(bus.timing.silence).await;

    let from = Instant::now();
    full.stop();
    idle.stop();
    let (signals, end) = full.end().await;
    let (rest, idle_end) = idle.end().await;

    assert!(end.is_ok() && idle_end.is_ok(), "{end:?}, {idle_end:?}");
    assert!(from.elapsed() < bus.timing.stop, "stopping took {:?}", from.elapsed());
    assert_eq!((signals.len(), rest.len()), (3, 0));
    Ok(())
}

async fn nothing_is_dropped_for_a_subscriber_that_has_gone<H: BroadcastHarness>(bench: BusBench<'_, H>) -> Verdict {
    let bus = bench.open().await?;
    drop(bus.listen_with(&bus.handle, small(Overflow::DropNewest)).await?);
    let before = bus.handle.status().stats().dropped;

    bus.publish_numbers(0..50).await;

    assert_eq!(bus.handle.status().stats().dropped, before);
    Ok(())
}

async fn closing_ends_what_was_subscribed_and_publishes_no_more<H: BroadcastHarness>(
    bench: BusBench<'_, H>,
) -> Verdict {
    let bus = bench.open().await?;
    let other = bus.another().await?;
    let mut ended = bus.listen().await?;
    let mut open = bus.listen_with(&other, SubscribeOptions::new()).await?;
    bus.publish("x").await;
    assert_eq!(open.bodies(1).await, ["x"]);

    bus.handle.close().await?;
    bus.handle.close().await?;
    let (_, end) = ended.end().await;
    let refused = publish(&bus.handle, Message::new("y")).await;
    publish(&other, Message::new("z")).await?;

    assert!(end.is_ok(), "{end:?}");
    assert_eq!(refused.expect_err("the handle is closed").kind(), ErrorKind::Closed);
    assert_eq!(open.bodies(1).await, ["z"]);
    Ok(())
}

/// Row 20 of the broker list.
async fn a_disconnect_is_told_as_a_gap_and_messages_go_on<H: BroadcastHarness>(bench: BusBench<'_, H>) -> Verdict {
    let bus = bench.open().await?;
    let Some(disconnect) = bus.fixture.faults.disconnect.clone() else {
        return Err(Stop::Skip("the harness has no way to break connections".to_owned()));
    };
    let mut listener = bus.listen().await?;
    let calls = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&calls);
    let _guard = bus.handle.status().on_reconnect(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let epoch = bus.handle.status().health().epoch;
    let mut health = bus.handle.status().watch();

    disconnect().await;
    let up = health.wait_for(|health| health.healthy && health.epoch > epoch);
    let up = timeout(bus.timing.patience, up).await.is_ok_and(|up| up.is_ok());
    assert!(up, "no reconnect: {:?}", bus.handle.status());
    bus.publish("after").await;
    let signals = listener.signals(2).await;

    assert!(matches!(signals[0], Signal::Gap), "{signals:?}");
    assert_eq!(text(message(&signals[1])), "after");
    assert_eq!(calls.load(Ordering::SeqCst), bus.handle.status().health().epoch - epoch);
    Ok(())
}

async fn a_bus_is_served_like_a_queue<H: BroadcastHarness>(bench: BusBench<'_, H>) -> Verdict {
    let bus = bench.open().await?;
    let (seen, mut bodies) = mpsc::unbounded_channel();
    let handler = service_fn(move |message: Message| {
        let failed = message.attempt() < 2 && message.body() == "1";
        let _ = seen.send(text(&message));
        async move { if failed { Err(BoxError::from("not yet")) } else { Ok(()) } }
    });
    let subscribed = Subscribed::new(bus.another().await?, bus.topic.clone(), SubscribeOptions::new());
    let server = Server::new(subscribed).backoff(Backoff::none()).concurrency(1);
    let handle = server.handle();
    let mut task = JoinSet::new();
    task.spawn(async move { server.serve(handler).await });
    handle.started().await;
    sleep(bus.timing.silence).await;

    bus.publish_numbers(0..3).await;
    let mut got = Vec::new();
    while got.len() < 4 {
        let body = timeout(bus.timing.patience, bodies.recv()).await;
        got.push(body.expect("a message should have come").expect("the server holds the sender"));
    }
    handle.shutdown();
    let ended = task.join_next().await.expect("the task was spawned").expect("serving does not panic");

    got.sort();
    assert_eq!(got, ["0", "1", "1", "2"]);
    assert_eq!(ended.map_err(|error| Stop::Fail(format!("{error:?}")))?.metrics.acked, 3);
    Ok(())
}
