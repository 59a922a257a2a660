use std::time::{Duration, SystemTime};

use chappe::memory::MemoryQueue;
use chappe::testing::{Recorder, perform};
use chappe::{ErrorKind, Message, Outcome, Topic};
use chappe_middleware::expiry::{ExpireLayer, SetExpiryLayer};
use tower::ServiceBuilder;
use tower_test::mock;

use crate::kit::{SECOND, Seen, serve};

fn expiring(date: SystemTime) -> Message {
    let mut message = Message::new("price");
    message.set_expires(date);
    message
}

fn past() -> SystemTime {
    SystemTime::now() - SECOND
}

#[tokio::test]
async fn an_expired_message_does_not_reach_the_receiver() {
    let expire = ExpireLayer::new();
    let expired = expire.expired();
    let (mut receiver, mut handle) = mock::spawn_layer::<Message, (), _>(expire);
    handle.allow(1);
    assert!(receiver.poll_ready().is_ready());

    let outcome = receiver.call(expiring(past())).await.unwrap();

    assert_eq!((outcome, expired.get()), (Outcome::Ack, 1));
    assert!(tokio_test::task::spawn(handle.next_request()).poll().is_pending());
}

#[tokio::test]
async fn a_message_that_is_good_or_has_no_date_is_handled() {
    let (seen, expire) = (Seen::default(), ExpireLayer::new().or_reject());
    let expired = expire.expired();
    let receiver = ServiceBuilder::new().layer(expire).service(seen.failing(0));

    perform(receiver.clone(), "no date").await.assert_acked();
    perform(receiver.clone(), expiring(SystemTime::now() + 60 * SECOND)).await.assert_acked();
    perform(receiver, expiring(past())).await.assert_rejected("message expired 1");

    assert_eq!((seen.count(), expired.get()), (2, 1));
}

#[tokio::test]
async fn the_earlier_of_date_and_age_counts() {
    let expire = ExpireLayer::new().max_age(60 * SECOND);
    let expired = expire.expired();
    let receiver = ServiceBuilder::new().layer(expire).service(Seen::default().failing(0));
    let mut old = expiring(SystemTime::now() + 60 * SECOND);
    old.set_published(SystemTime::now() - 61 * SECOND);
    let mut young = Message::new("young");
    young.set_published(SystemTime::now() - SECOND);

    perform(receiver.clone(), old).await.assert_acked();
    perform(receiver.clone(), young).await.assert_acked();
    perform(receiver, "of unknown age").await.assert_acked();

    assert_eq!(expired.get(), 1);
}

#[tokio::test]
async fn what_expired_is_published_before_it_is_acknowledged() {
    let dead = Recorder::new();
    let receiver =
        ServiceBuilder::new().layer(ExpireLayer::new().or_publish(dead.clone())).service(Seen::default().failing(0));
    let mut message = expiring(SystemTime::UNIX_EPOCH + Duration::from_millis(1_500));
    message.set_source("prices");
    message.set_id("7");

    dead.fail_next(1, ErrorKind::Unavailable);
    perform(receiver.clone(), message.clone()).await.assert_retried();
    perform(receiver, message).await.assert_acked();

    let letter = &dead.assert_published(1)[0];
    assert_eq!((letter.body(), letter.expires()), (&"price".into(), None));
    assert_eq!(letter.attributes().get_str("expired-at"), Some("1500"));
}

#[tokio::test]
async fn a_date_is_set_where_there_is_none_and_a_delay_is_added() {
    let sent = Recorder::new();
    let topic = ServiceBuilder::new().layer(SetExpiryLayer::after(60 * SECOND)).service(sent.clone());
    let own = SystemTime::UNIX_EPOCH + SECOND;
    let mut delayed = Message::new("later");
    delayed.set_delay(3600 * SECOND);

    topic.publish("now").await.unwrap();
    topic.publish(delayed).await.unwrap();
    topic.publish(expiring(own)).await.unwrap();

    let dates: Vec<_> = sent.messages().iter().map(|message| message.expires().unwrap()).collect();
    let left = |date: SystemTime| date.duration_since(SystemTime::now()).unwrap();
    assert!(left(dates[0]) <= 60 * SECOND && left(dates[0]) > 50 * SECOND);
    assert!(left(dates[1]) <= 3660 * SECOND && left(dates[1]) > 3650 * SECOND);
    assert_eq!(dates[2], own);
}

#[tokio::test(start_paused = true)]
async fn a_good_message_is_the_same_at_every_attempt_and_an_expired_one_is_gone() {
    let (queue, seen, expire) = (MemoryQueue::new("prices"), Seen::default(), ExpireLayer::new());
    let expired = expire.expired();
    let topic = ServiceBuilder::new().layer(SetExpiryLayer::after(3600 * SECOND)).service(queue.topic());
    topic.publish("good").await.unwrap();
    topic.publish(expiring(past())).await.unwrap();

    let report = serve(&queue, ServiceBuilder::new().layer(expire).service(seen.failing(2))).await;

    seen.assert_same(3);
    assert_eq!((report.metrics.acked, expired.get()), (2, 1));
}
