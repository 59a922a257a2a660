//! Polls: how many, how large, what happens to what they bring, and what their errors mean.

use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::{Client, Config};
use chappe_core::backend::{Backend, ConsumeOptions, Fetch, Queue, StopSource, StopToken};
use chappe_core::{ErrorKind, Topic};
use chappe_sqs::{Envelope, SqsMetadata, SqsQueue};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::fake::{Fake, Fault, URL};
use crate::kit::{bodies, consumer, consumer_until, fetch, take, try_fetch};

fn max_of(asked: &crate::fake::Asked) -> u64 {
    asked.body["MaxNumberOfMessages"].as_u64().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_idle_queue_costs_one_poll_at_a_time() {
    let fake = Fake::new();
    let queue = SqsQueue::new(&fake.client(), URL);
    let mut consumer = consumer(&queue).await;

    for _ in 0..3 {
        assert_eq!(try_fetch(&mut consumer, 64).await.unwrap().0, Fetch::Idle);
    }

    let polls = fake.asked("ReceiveMessage");
    assert_eq!(polls.len(), 3);
    assert!(polls.windows(2).all(|pair| pair[1].at - pair[0].at >= Duration::from_secs(20)));
    assert_eq!(polls[0].body["VisibilityTimeout"], 30);
}

#[tokio::test(start_paused = true)]
async fn polls_multiply_while_they_come_back_full_and_never_ask_for_more_than_the_fetch() {
    let fake = Fake::new();
    (0..200).for_each(|number| fake.put(&number.to_string()));
    let queue = SqsQueue::new(&fake.client(), URL);
    let mut consumer = consumer(&queue).await;

    let all = take(&mut consumer, 200).await;

    assert_eq!(all.len(), 200);
    let polls = fake.asked("ReceiveMessage");
    let together = polls.iter().map(|poll| polls.iter().filter(|other| other.at == poll.at).count()).max();
    assert!(together > Some(4), "at most {together:?} polls ran side by side");
}

#[tokio::test(start_paused = true)]
async fn room_for_a_few_is_left_until_there_is_more_while_others_poll() {
    let fake = Fake::new();
    (0..200).for_each(|number| fake.put(&number.to_string()));
    let queue = SqsQueue::new(&fake.client(), URL);
    let mut consumer = consumer(&queue).await;

    for _ in 0..8 {
        fetch(&mut consumer, 25).await;
    }

    let polls = fake.asked("ReceiveMessage");
    assert!(polls.iter().all(|poll| max_of(poll) == 10), "a poll for five costs as much as one for ten");
}

#[tokio::test(start_paused = true)]
async fn no_poll_asks_for_more_than_there_is_room_for() {
    let fake = Fake::new();
    (0..10).for_each(|number| fake.put(&number.to_string()));
    let queue = SqsQueue::new(&fake.client(), URL);
    let mut consumer = consumer(&queue).await;

    for _ in 0..3 {
        assert_eq!(fetch(&mut consumer, 3).await.len(), 3);
    }

    assert!(fake.asked("ReceiveMessage").iter().all(|poll| max_of(poll) <= 3));
    assert!(fake.in_flight() <= 9 + 3);
}

#[tokio::test(start_paused = true)]
async fn a_running_poll_is_awaited_at_the_stop_and_what_it_brings_is_handed_out() {
    let fake = Fake::new();
    let queue = SqsQueue::new(&fake.client(), URL);
    let stop = StopSource::new();
    let mut consumer = consumer_until(&queue, stop.token()).await;

    let late = fake.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(1)).await;
        stop.stop();
        sleep(Duration::from_millis(200)).await;
        late.put("late");
    });
    let (more, late) = try_fetch(&mut consumer, 10).await.unwrap();
    let (end, none) = try_fetch(&mut consumer, 10).await.unwrap();

    assert_eq!((more, bodies(&late)), (Fetch::More, vec!["late"]));
    assert_eq!((end, none.len(), fake.asked("ReceiveMessage").len()), (Fetch::Stopped, 0, 1));
}

/// A9, better than its row: the deadline of a shutdown drops the consumer, and its poll gives back by itself.
#[tokio::test(start_paused = true)]
async fn what_a_dropped_consumer_was_brought_goes_back_at_once() {
    let fake = Fake::new();
    let queue = SqsQueue::new(&fake.client(), URL);
    let mut consumer = consumer(&queue).await;
    let mut out = Vec::new();
    {
        use chappe_core::backend::Consumer;
        let fetching = consumer.fetch(10, &mut out);
        tokio::time::timeout(Duration::from_secs(1), fetching).await.unwrap_err();
    }
    drop(consumer);

    fake.put("orphan");
    sleep(Duration::from_millis(50)).await;

    assert_eq!((fake.in_flight(), fake.asked("ChangeMessageVisibilityBatch").len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn failing_receives_are_told_apart_and_the_next_one_recovers() {
    let fake = Fake::new();
    let queue = SqsQueue::new(&fake.client(), URL);
    let mut consumer = consumer(&queue).await;
    let faults = [
        (Fault::Error(500, "InternalFailure"), ErrorKind::Unavailable, false),
        (Fault::Error(400, "RequestThrottled"), ErrorKind::Throttled, true),
        (Fault::Error(400, "OverLimit"), ErrorKind::Throttled, true),
        (Fault::Error(403, "AccessDeniedException"), ErrorKind::PermissionDenied, true),
        (Fault::Error(403, "ExpiredTokenException"), ErrorKind::PermissionDenied, true),
        (Fault::Error(400, "AWS.SimpleQueueService.NonExistentQueue"), ErrorKind::NotFound, true),
        (Fault::Refused, ErrorKind::Unavailable, false),
        (Fault::Answer(json!("garbage")), ErrorKind::Unavailable, false),
    ];

    for (fault, kind, pauses) in faults {
        fake.fault("ReceiveMessage", fault);
        let error = try_fetch(&mut consumer, 10).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (kind, true), "{error}");
        assert_eq!(error.retry_after().is_some(), pauses, "{error}");
        assert!(!queue.status().is_healthy());
    }
    fake.put("x");

    assert_eq!(bodies(&fetch(&mut consumer, 10).await), ["x"]);
    assert!(queue.status().is_healthy() && queue.status().health().epoch == 2);
    // Nothing was repeated behind our back.
    assert_eq!(fake.asked("ReceiveMessage").len(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_stays_missing_ends_serving_after_its_grace() {
    let fake = Fake::new();
    let queue = SqsQueue::new(&fake.client(), URL).missing_grace(Duration::from_secs(5));
    let mut consumer = consumer(&queue).await;

    let began = Instant::now();
    let error = loop {
        fake.fault("ReceiveMessage", Fault::Error(400, "QueueDoesNotExist"));
        let error = try_fetch(&mut consumer, 10).await.unwrap_err();
        if !error.is_retryable() {
            break error;
        }
        sleep(error.retry_after().unwrap()).await;
    };

    assert!(began.elapsed() >= Duration::from_secs(5));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("does not exist in region eu-west-1"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_url_is_an_error_before_anything_is_fetched() {
    let fake = Fake::new();
    fake.fault("GetQueueAttributes", Fault::Error(400, "QueueDoesNotExist"));
    let options = || ConsumeOptions::new(StopToken::never(), 1.try_into().unwrap());

    let missing = SqsQueue::new(&fake.client(), URL).consume(options()).await.unwrap_err();
    let malformed = SqsQueue::new(&fake.client(), "jobs").consume(options()).await.unwrap_err();

    assert_eq!((missing.kind(), missing.is_retryable()), (ErrorKind::NotFound, false));
    assert_eq!(malformed.kind(), ErrorKind::Invalid);
    assert!(malformed.to_string().contains("\"jobs\" is not the URL of a queue"), "{malformed}");
    assert!(fake.asked("ReceiveMessage").is_empty());
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_look_at_a_queue_may_consume_from_it() {
    let fake = Fake::new();
    fake.fault("GetQueueAttributes", Fault::Error(403, "AccessDenied"));
    fake.put("x");

    let queue = SqsQueue::new(&fake.client(), URL);

    assert_eq!(bodies(&fetch(&mut consumer(&queue).await, 1).await), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn options_that_make_no_sense_are_refused_with_their_limits() {
    let client = Fake::new().client();
    let queue = || SqsQueue::new(&client, URL);
    let second = Duration::from_secs(1);
    let wrong = [
        (queue().lease(second * 43_201), ErrorKind::Invalid, "from 1 to 43200"),
        (queue().lease(second / 2), ErrorKind::Invalid, "from 1 to 43200"),
        (queue().wait(second * 21), ErrorKind::Invalid, "up to 20"),
        (queue().max_polls(0), ErrorKind::Invalid, "at least 1"),
        (queue().ordered(true), ErrorKind::Unsupported, "ends in .fifo"),
    ];

    for (queue, kind, text) in wrong {
        let options = ConsumeOptions::new(StopToken::never(), 1.try_into().unwrap());
        let error = queue.consume(options).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(text) && error.to_string().contains("queue jobs"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_envelope_of_sns_is_opened_and_a_confirmation_stays() {
    let envelope = r#"{"Type":"Notification","MessageId":"s-1","TopicArn":"arn:t","Message":"inner",
        "MessageAttributes":{"type":{"Type":"String","Value":"order"}}}"#;
    let fake = Fake::new();
    fake.put(r#"{"Type":"SubscriptionConfirmation","TopicArn":"arn:t","Message":"m","Token":"t"}"#);
    fake.put(envelope);
    fake.put(envelope);
    let (auto, never) =
        (SqsQueue::new(&fake.client(), URL), SqsQueue::new(&fake.client(), URL).envelope(Envelope::Never));

    let opened = take(&mut consumer(&auto).await, 1).await;
    let kept = take(&mut consumer(&never).await, 1).await;

    let metadata = opened[0].message.extensions().get::<SqsMetadata>().unwrap();
    assert_eq!((bodies(&opened), opened[0].message.attributes().get_str("type")), (vec!["inner"], Some("order")));
    assert_eq!(&*metadata.sns.as_ref().unwrap().topic_arn, "arn:t");
    assert_eq!(bodies(&kept), [envelope]);
    assert_eq!(fake.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decoded_is_handed_out_as_it_is() {
    let fake = Fake::new();
    let odd = json!({ "msg-encoding": { "DataType": "String", "StringValue": "rot13" } });
    let answer =
        json!({ "Messages": [{ "MessageId": "1", "ReceiptHandle": "h", "Body": "uryyb", "MessageAttributes": odd }] });
    fake.fault("ReceiveMessage", Fault::Answer(answer));

    let got = fetch(&mut consumer(&SqsQueue::new(&fake.client(), URL)).await, 1).await;

    let why = got[0].message.extensions().get::<SqsMetadata>().unwrap().undecoded.clone().unwrap();
    assert_eq!((bodies(&got), &*why), (vec!["uryyb"], r#"body has the unknown encoding "rot13""#));
}

/// M21: the SDK calls all three a failed dispatch.
#[tokio::test(start_paused = true)]
async fn a_client_without_region_or_credentials_is_told_what_it_lacks() {
    let fake = Fake::new();
    let bare = || Config::builder().behavior_version(BehaviorVersion::v2026_01_12()).http_client(fake.http());
    let region = || Region::new("eu-west-1");
    let credentials = || Credentials::new("key", "secret", None, None, "tests");
    let table = [
        (bare().credentials_provider(credentials()), ErrorKind::Invalid, "no region is set"),
        (bare().region(region()), ErrorKind::Invalid, "no credentials or no region"),
        (bare().region(region()).credentials_provider(Expired), ErrorKind::PermissionDenied, "no valid credentials"),
    ];

    for (config, kind, text) in table {
        let queue = SqsQueue::new(&Client::from_conf(config.build()), URL).inspect(false);
        let received = try_fetch(&mut consumer(&queue).await, 1).await.unwrap_err();
        let sent = queue.topic().publish("x").await.unwrap_err();

        for error in [received, sent] {
            assert_eq!((error.kind(), error.is_ambiguous()), (kind, false), "{error:?}");
            assert!(error.to_string().contains(text) && error.to_string().contains("queue jobs"), "{error}");
        }
    }
}

#[derive(Debug)]
struct Expired;

impl ProvideCredentials for Expired {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::provider_error("the session has expired")))
    }
}
