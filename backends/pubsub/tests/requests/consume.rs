//! Consuming and settling, and what a server makes of it.

use std::time::Duration;

use chappe_core::backend::{
    Action, ConsumeOptions, Consumer, Delivery, Fetch, Queue, SettleResult, Settlement, StopSource,
};
use chappe_core::{Error, ErrorKind, Topic};
use chappe_pubsub::{PubsubConsumer, PubsubQueue, PubsubReceipt};
use prost::Message;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use crate::fake::{Fake, Fault};
use crate::proto::{Any, ErrorInfo, Pair, RpcStatus};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

type Held = Delivery<PubsubReceipt>;

async fn consume(queue: &PubsubQueue, window: usize) -> (PubsubConsumer, StopSource) {
    let stop = StopSource::new();
    let options = ConsumeOptions::new(stop.token(), window.try_into().expect("a window is not empty"));
    (queue.consume(options).await.expect("the fake lets everybody consume"), stop)
}

async fn fetch(consumer: &mut PubsubConsumer, count: usize) -> Vec<Held> {
    let mut out = Vec::new();
    while out.len() < count {
        let fetching = consumer.fetch(count - out.len(), &mut out);
        timeout(PATIENCE, fetching).await.expect("nothing came").expect("fetching failed");
    }
    out
}

async fn failure(consumer: &mut PubsubConsumer) -> Error {
    timeout(PATIENCE, consumer.fetch(1, &mut Vec::new()))
        .await
        .expect("nothing came")
        .expect_err("fetching did not fail")
}

async fn settle(queue: &PubsubQueue, deliveries: &[Held], action: Action) -> Result<Vec<SettleResult>, Error> {
    let mut batch: Vec<_> =
        deliveries.iter().map(|held| Settlement::new(held.receipt.clone(), action.clone())).collect();
    queue.settle(&mut batch).await?;
    Ok(batch.into_iter().map(|settlement| settlement.result).collect())
}

async fn publish(fake: &Fake, count: usize) {
    let results = fake.publisher().topic().publish_all((0..count).map(|number| number.to_string())).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

#[tokio::test]
async fn no_more_is_out_than_may_be_unsettled() {
    let fake = Fake::start().await;
    publish(&fake, 100).await;
    let queue = fake.queue();
    let (mut consumer, _stop) = consume(&queue, 5).await;

    let first = fetch(&mut consumer, 2).await;
    let before = fake.depth();
    settle(&queue, &first, Action::Ack).await.unwrap();
    fetch(&mut consumer, 5).await;

    assert_eq!((before, fake.depth()), ((5, 95), (5, 93)));
}

#[tokio::test]
async fn two_consumers_share_what_there_is() {
    let fake = Fake::start().await;
    let queue = fake.queue();
    let (mut one, _one) = consume(&queue, 5).await;
    let (mut other, _other) = consume(&queue, 5).await;
    fake.until(|fake| fake.opened().len() == 2).await;

    publish(&fake, 10).await;

    assert_eq!((fetch(&mut one, 5).await.len(), fetch(&mut other, 5).await.len()), (5, 5));
}

#[tokio::test]
async fn what_nobody_has_fetched_goes_back_at_the_stop_and_nothing_more_is_taken() {
    let fake = Fake::start().await;
    publish(&fake, 5).await;
    let queue = fake.queue();
    let (mut consumer, stop) = consume(&queue, 5).await;
    let out = fetch(&mut consumer, 1).await;

    stop.stop();
    let mut rest = Vec::new();
    let fetched = consumer.fetch(5, &mut rest).await.unwrap();
    let depth = fake.depth();
    queue.close().await.unwrap();
    publish(&fake, 1).await;

    assert_eq!((fetched, rest.len(), depth), (Fetch::Stopped, 0, (1, 4)));
    assert_eq!(fake.depth(), (1, 5), "the stream still takes messages");
    settle(&queue, &out, Action::Ack).await.unwrap();
    assert_eq!(fake.depth(), (0, 5));
}

#[tokio::test]
async fn a_dropped_consumer_gives_back_what_it_had_within_a_second() {
    let fake = Fake::start().await;
    publish(&fake, 5).await;
    let queue = fake.queue();
    let (mut consumer, _stop) = consume(&queue, 5).await;
    fetch(&mut consumer, 1).await;

    drop(consumer);
    let (mut other, _other) = consume(&queue, 4).await;
    let from = Instant::now();
    fetch(&mut other, 4).await;

    assert!(from.elapsed() < Duration::from_secs(5), "it took {:?}, half a lease", from.elapsed());
}

#[tokio::test]
async fn a_stream_may_end_in_any_way() {
    let fake = Fake::start().await;
    let queue = fake.queue();
    let (mut consumer, _stop) = consume(&queue, 5).await;
    let ends = [None, Some(Code::Unavailable), Some(Code::Unknown), Some(Code::Cancelled), Some(Code::Internal)];
    for (streams, end) in ends.into_iter().enumerate() {
        fake.until(|fake| fake.opened().len() > streams).await;
        publish(&fake, 1).await;
        let held = loop {
            let mut out = Vec::new();
            // A stream that lasted no time is told as a failure, and opened again all the same.
            let _ = timeout(PATIENCE, consumer.fetch(1, &mut out)).await.expect("nothing came");
            if !out.is_empty() {
                break out;
            }
        };
        settle(&queue, &held, Action::Ack).await.unwrap();

        fake.end_streams(|| end.map(|code| Status::new(code, "the end")));
    }
}

#[tokio::test]
async fn an_endpoint_that_takes_no_stream_is_tried_with_growing_pauses() {
    let fake = Fake::start().await;
    fake.fail("StreamingPull", (0..100).map(|_| Fault::Refuse(Status::unavailable("not now"))));
    let queue = fake.queue();
    let (mut consumer, _stop) = consume(&queue, 5).await;

    let error = failure(&mut consumer).await;
    fake.until(|fake| fake.opened().len() >= 5).await;

    let opened = fake.opened();
    assert!(error.is_retryable() && error.retry_after().is_some(), "{error:?}");
    // The pauses are 0.1, 0.5, 1 and 2 seconds, of which at least half is kept.
    assert!(opened[4] - opened[0] >= Duration::from_millis(1800), "{:?}", opened[4] - opened[0]);
}

#[tokio::test]
async fn a_subscription_that_stays_missing_ends_serving_and_a_permission_may_come() {
    let fake = Fake::start().await;
    let missing = || Fault::Refuse(Status::not_found("no such subscription"));
    fake.fail("GetSubscription", [missing()]);
    let options = || ConsumeOptions::new(StopSource::new().token(), 1.try_into().unwrap());
    let looked = fake.queue().consume(options()).await.unwrap_err();

    fake.fail("StreamingPull", [missing()]);
    let (mut consumer, _stop) = consume(&fake.queue().inspect(false).missing_grace(Duration::ZERO), 1).await;
    let gone = failure(&mut consumer).await;
    fake.fail("StreamingPull", (0..3).map(|_| Fault::Refuse(Status::permission_denied("no"))));
    let (mut consumer, _stop) = consume(&fake.queue(), 1).await;
    let denied = failure(&mut consumer).await;

    assert_eq!((looked.kind(), gone.kind()), (ErrorKind::NotFound, ErrorKind::NotFound));
    assert!(!gone.is_retryable());
    assert_eq!((denied.kind(), denied.is_retryable()), (ErrorKind::PermissionDenied, true));
    publish(&fake, 1).await;
    let mut out = Vec::new();
    while out.is_empty() {
        let _ = timeout(PATIENCE, consumer.fetch(1, &mut out)).await.expect("nothing came");
    }
}

#[tokio::test]
async fn a_failed_acknowledgement_can_be_passed_again() {
    let fake = Fake::start().await;
    publish(&fake, 3).await;
    let queue = fake.queue();
    let (mut consumer, _stop) = consume(&queue, 3).await;
    let held = fetch(&mut consumer, 3).await;
    fake.fail("Acknowledge", [Fault::Refuse(Status::unavailable("not now"))]);

    let first = settle(&queue, &held, Action::Ack).await;
    let second = settle(&queue, &held, Action::Ack).await.unwrap();
    let third = settle(&queue, &held, Action::Ack).await.unwrap();

    assert!(first.unwrap_err().is_retryable());
    assert!(second.iter().all(|result| matches!(result, SettleResult::Done)), "{second:?}");
    assert!(third.iter().all(|result| matches!(result, SettleResult::Lost)), "{third:?}");
    assert_eq!(fake.depth(), (0, 0));
}

#[tokio::test]
async fn an_exactly_once_subscription_says_what_became_of_each() {
    let fake = Fake::start().await;
    publish(&fake, 3).await;
    let queue = fake.queue();
    let (mut consumer, _stop) = consume(&queue, 3).await;
    let held = fetch(&mut consumer, 3).await;
    let ids = fake.out();
    let pair = |at: usize, code: &str| Pair { key: ids[at].clone(), value: code.to_owned() };
    let metadata = vec![pair(0, "PERMANENT_FAILURE_INVALID_ACK_ID"), pair(1, "TRANSIENT_FAILURE_UNORDERED_ACK_ID")];
    let info = ErrorInfo { metadata, ..ErrorInfo::default() };
    let any =
        Any { type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(), value: info.encode_to_vec().into() };
    let details = RpcStatus { details: vec![any], ..RpcStatus::default() }.encode_to_vec();
    fake.fail("Acknowledge", [Fault::Refuse(Status::with_details(Code::FailedPrecondition, "", details.into()))]);

    let results = settle(&queue, &held, Action::Ack).await.unwrap();

    assert!(matches!(&results[0], SettleResult::Lost), "{results:?}");
    assert!(matches!(&results[1], SettleResult::Failed(error) if error.is_retryable()), "{results:?}");
    assert!(matches!(&results[2], SettleResult::Done), "{results:?}");
}

#[tokio::test]
async fn retries_that_wait_do_not_keep_others_out() {
    let fake = Fake::start().await;
    publish(&fake, 8).await;
    let queue = fake.queue();
    let (mut consumer, _stop) = consume(&queue, 4).await;
    let held = fetch(&mut consumer, 4).await;

    settle(&queue, &held, Action::Retry { delay: Duration::from_secs(600), reason: None }).await.unwrap();

    let others = fetch(&mut consumer, 4).await;
    assert_eq!(others.len(), 4);
    assert_eq!(fake.opened().len(), 2, "streams were opened without need");
}

#[tokio::test]
async fn the_lease_of_what_waits_is_renewed() {
    let fake = Fake::start().await;
    publish(&fake, 3).await;
    let (_consumer, _stop) = consume(&fake.queue(), 3).await;

    fake.until(|fake| fake.calls("ModifyAckDeadline") == [3]).await;

    assert_eq!(fake.depth(), (3, 0));
}

#[tokio::test]
async fn acknowledgements_and_retries_of_a_batch_are_a_call_each() {
    let fake = Fake::start().await;
    publish(&fake, 100).await;
    let queue = fake.queue();
    let (mut consumer, _stop) = consume(&queue, 100).await;
    let held = fetch(&mut consumer, 100).await;
    let action = |at: usize| match at % 4 {
        0 => Action::Release,
        1 => Action::Retry { delay: Duration::from_millis(1500), reason: None },
        _ => Action::Ack,
    };
    let mut batch: Vec<_> =
        held.iter().enumerate().map(|(at, held)| Settlement::new(held.receipt.clone(), action(at))).collect();

    queue.settle(&mut batch).await.unwrap();

    assert_eq!(fake.calls("Acknowledge"), [50]);
    assert_eq!(fake.calls("ModifyAckDeadline"), [25, 25]);
}
