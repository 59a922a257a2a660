//! Publishing: few requests, a result for each message, and bad input refused before any request.

use std::sync::Arc;
use std::time::Duration;

use chappe_core::backend::{Backend, Outgoing, PublishResult, Publisher};
use chappe_core::{Error, ErrorKind, Message, Topic, Value};
use chappe_sqs::{MemoryBlobs, SqsPublisher, SqsQueue};
use serde_json::{Value as Json, json};

use crate::fake::{FIFO, Fake, Fault, URL};
use crate::kit::{consumer, keyed, take};

const MIB: usize = 1 << 20;

fn attributed(count: usize) -> Message {
    let mut message = Message::new("x");
    *message.attributes_mut() = (0..count).map(|at| (format!("name{at}"), "1")).collect();
    message
}

fn delayed(seconds: u64) -> Message {
    let mut message = Message::new("x");
    message.set_delay(Duration::from_secs(seconds));
    message
}

async fn refused(publisher: &SqsPublisher, message: Message) -> Error {
    publisher.topic().publish(message).await.expect_err("the message should be refused")
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|at| at.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_message_alone_goes_out_at_once_and_by_itself() {
    let fake = Fake::new();
    let topic = SqsPublisher::new(&fake.client(), URL).topic();

    let receipt = topic.publish("x").await.unwrap();

    assert_eq!(receipt.id, Some("m-1".into()));
    assert_eq!((fake.asked("SendMessage").len(), fake.asked("SendMessageBatch").len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn two_hundred_writers_share_few_requests() {
    let fake = Fake::new();
    let topic = SqsPublisher::new(&fake.client(), URL).topic();

    let results = topic.publish_all(ids(200)).await;

    assert!(results.iter().all(Result::is_ok));
    let requests = fake.asked("SendMessage").len() + fake.asked("SendMessageBatch").len();
    assert!(requests <= 30, "{requests} requests");
    assert_eq!(fake.len(), 200);
}

#[tokio::test(start_paused = true)]
async fn each_entry_that_fails_is_alone_with_its_error() {
    let fake = Fake::new();
    let publisher = SqsPublisher::new(&fake.client(), URL);
    let mut batch: Vec<_> = ids(10).into_iter().map(|id| Outgoing::new(Message::new(id))).collect();
    let answer = |request: &Json, _: Json| {
        let done: Vec<_> = request["Entries"].as_array().unwrap().iter().map(|entry| entry["Id"].clone()).collect();
        let done: Vec<_> = done.iter().filter(|id| !["3", "7", "9"].contains(&id.as_str().unwrap())).collect();
        let done: Vec<_> =
            done.iter().map(|id| json!({ "Id": id, "MessageId": "m", "MD5OfMessageBody": "" })).collect();
        json!({ "Successful": done, "Failed": [
            { "Id": "3", "Code": "InvalidMessageContents", "SenderFault": true, "Message": "bad" },
            { "Id": "7", "Code": "InternalError", "SenderFault": false, "Message": "" },
        ]})
    };
    fake.fault("SendMessageBatch", Fault::Rewrite(answer));

    publisher.publish(&mut batch).await.unwrap();

    for (at, outgoing) in batch.iter().enumerate() {
        match (at, &outgoing.result) {
            (3, PublishResult::Failed(error)) => {
                assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Invalid, false))
            }
            (7, PublishResult::Failed(error)) => assert!(error.is_retryable() && !error.is_ambiguous(), "{error:?}"),
            // In neither list: nobody knows.
            (9, PublishResult::Failed(error)) => assert!(error.is_retryable() && error.is_ambiguous(), "{error:?}"),
            (3 | 7 | 9, other) => panic!("entry {at} came to {other:?}"),
            (_, result) => assert!(matches!(result, PublishResult::Accepted(_)), "entry {at} came to {result:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_topic_repeats_what_the_server_failed_on() {
    let fake = Fake::new();
    let topic = SqsPublisher::new(&fake.client(), URL).topic();
    fake.fault("SendMessage", Fault::Error(503, "ServiceUnavailable"));
    fake.fault("SendMessage", Fault::Error(400, "RequestThrottled"));

    topic.publish("x").await.unwrap();

    assert_eq!((fake.asked("SendMessage").len(), fake.len()), (3, 1));
    assert!(topic.get_ref().status().is_healthy());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_long_is_split() {
    let fake = Fake::new();
    let publisher = SqsPublisher::new(&fake.client(), URL);
    fake.fault("SendMessageBatch", Fault::Error(400, "AWS.SimpleQueueService.BatchRequestTooLong"));
    let mut batch: Vec<_> = ids(5).into_iter().map(|id| Outgoing::new(Message::new(id))).collect();

    publisher.publish(&mut batch).await.unwrap();

    assert!(batch.iter().all(|outgoing| matches!(outgoing.result, PublishResult::Accepted(_))));
    let sizes: Vec<_> =
        fake.asked("SendMessageBatch").iter().map(|asked| asked.body["Entries"].as_array().unwrap().len()).collect();
    assert_eq!((sizes, fake.len()), (vec![5, 2, 3], 5));
}

#[tokio::test(start_paused = true)]
async fn a_batch_never_holds_more_than_a_mebibyte() {
    let fake = Fake::new();
    let publisher = SqsPublisher::new(&fake.client(), URL);
    // Each fits, and is a third larger in base64.
    let mut batch: Vec<_> = (0..3).map(|_| Outgoing::new(Message::new(vec![0; MIB / 3]))).collect();

    publisher.publish(&mut batch).await.unwrap();

    assert!(batch.iter().all(|outgoing| matches!(outgoing.result, PublishResult::Accepted(_))));
    assert_eq!((fake.asked("SendMessageBatch").len(), fake.asked("SendMessage").len()), (1, 1));
}

/// A27.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_repeated_only_where_duplicates_are_refused() {
    let fifo = Fake::new();
    fifo.fault("SendMessage", Fault::Lost);
    let standard = Fake::new();
    standard.fault("SendMessage", Fault::Lost);

    SqsPublisher::new(&fifo.client(), FIFO).topic().publish(keyed("k", "x")).await.unwrap();
    let error = SqsPublisher::new(&standard.client(), URL).topic().publish("x").await.unwrap_err();

    let sent = fifo.asked("SendMessage");
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].body["MessageDeduplicationId"], sent[1].body["MessageDeduplicationId"]);
    assert!(sent[0].body["MessageDeduplicationId"].is_string());
    assert!(error.is_ambiguous(), "{error:?}");
    assert_eq!(standard.asked("SendMessage").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_never_got_a_connection_was_not_sent() {
    let fake = Fake::new();
    let publisher = SqsPublisher::new(&fake.client(), URL);
    fake.fault("SendMessage", Fault::Refused);

    let error = publisher.publish(&mut [Outgoing::new(Message::new("x"))]).await.unwrap_err();

    assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Unavailable, false));
    assert_eq!(error.to_string(), "cannot send to queue jobs: region eu-west-1 cannot be reached");
}

#[tokio::test(start_paused = true)]
async fn bad_input_is_refused_before_any_request_with_its_limit_and_the_way_out() {
    let fake = Fake::new();
    let standard = SqsPublisher::new(&fake.client(), URL);
    let fifo = SqsPublisher::new(&fake.client(), FIFO);
    let strict = standard.clone().strict(true);
    let mut control = Message::new("x");
    control.attributes_mut().insert("bell", "\u{7}");

    let table = [
        (refused(&standard, Message::new("x".repeat(MIB + 1))).await, ErrorKind::TooLarge, "1048576"),
        (refused(&standard, Message::new(vec![0; 800_000])).await, ErrorKind::TooLarge, "in base64"),
        (refused(&standard, delayed(901)).await, ErrorKind::Invalid, "900s"),
        (refused(&fifo, delayed(1)).await, ErrorKind::Unsupported, "delay of 1s"),
        (refused(&strict, attributed(11)).await, ErrorKind::TooLarge, "11 attributes, the limit is 10"),
        (refused(&strict, control).await, ErrorKind::Invalid, "a character SQS refuses"),
        (
            refused(&SqsPublisher::new(&fake.client(), "jobs"), Message::new("x")).await,
            ErrorKind::Invalid,
            "not the URL",
        ),
    ];

    for (error, kind, text) in table {
        assert_eq!((error.kind(), error.is_ambiguous()), (kind, false), "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
    assert_eq!(fake.len(), 0);
    assert!(fake.asked("SendMessage").is_empty());
}

#[tokio::test(start_paused = true)]
async fn text_is_sent_as_it_is_and_anything_else_says_how() {
    let fake = Fake::new();
    let topic = SqsPublisher::new(&fake.client(), URL).topic();

    for body in ["text".as_bytes(), b"", b"\x00\xff", "\u{fffe}".as_bytes()] {
        topic.publish(body.to_vec()).await.unwrap();
    }

    let sent: Vec<_> = fake
        .asked("SendMessage")
        .iter()
        .map(|asked| {
            (asked.body["MessageBody"].clone(), asked.body["MessageAttributes"]["msg-encoding"]["StringValue"].clone())
        })
        .collect();
    let expected = [("text", Json::Null), ("-", json!("empty")), ("AP8=", json!("base64")), ("77++", json!("base64"))];
    assert_eq!(sent, expected.map(|(body, encoding)| (json!(body), encoding)));
}

/// A2 and A29: eleven are ten on the wire, and eleven again.
#[tokio::test(start_paused = true)]
async fn eleven_attributes_are_ten_on_the_wire_and_eleven_again() {
    let fake = Fake::new();
    let queue = SqsQueue::new(&fake.client(), URL);
    let mut message = attributed(11);
    message.attributes_mut().append("traceparent", "00-1-2-01");
    message.attributes_mut().append("none", Value::Null);

    queue.topic().publish(message.clone()).await.unwrap();
    let got = take(&mut consumer(&queue).await, 1).await;

    let sent = &fake.asked("SendMessage")[0].body["MessageAttributes"];
    assert_eq!(sent.as_object().unwrap().len(), 10);
    assert!(sent["traceparent"].is_object(), "it is promoted");
    assert_eq!(got[0].message.attributes(), message.attributes());
}

/// A group id may have 128 characters of ASCII; a key is any bytes.
#[tokio::test(start_paused = true)]
async fn any_key_survives_and_no_key_orders_nothing() {
    for url in [URL, FIFO] {
        let fake = Fake::new();
        let queue = SqsQueue::new(&fake.client(), url);
        let keys = ["plain".into(), "größe".into(), "".into(), "x".repeat(200), "unkeyed-x".into()];
        for key in &keys {
            let mut message = Message::new("x");
            message.set_key(String::clone(key));
            queue.topic().publish(message).await.unwrap();
        }
        queue.topic().publish("none").await.unwrap();

        let mut consumer = consumer(&queue).await;
        let got = take(&mut consumer, 6).await;

        let seen: Vec<_> = got.iter().filter_map(|got| got.message.key()?.as_str().map(str::to_owned)).collect();
        assert_eq!(seen, keys, "{url}");
        assert_eq!(got[5].message.key(), None);
    }
}

/// A30.
#[tokio::test(start_paused = true)]
async fn a_key_is_the_tenant_of_a_fair_queue() {
    let fake = Fake::new();

    SqsPublisher::new(&fake.client(), URL).topic().publish(keyed("tenant-7", "x")).await.unwrap();

    let sent = &fake.asked("SendMessage")[0].body;
    assert_eq!((&sent["MessageGroupId"], &sent["MessageDeduplicationId"]), (&json!("tenant-7"), &Json::Null));
}

#[tokio::test(start_paused = true)]
async fn a_large_body_goes_to_the_store_and_comes_back() {
    let fake = Fake::new();
    let blobs = Arc::new(MemoryBlobs::new("large"));
    let queue = SqsQueue::new(&fake.client(), URL).blobs(Arc::<MemoryBlobs>::clone(&blobs)).delete_blobs(true);
    let mut message = Message::new(vec![7; 2 * MIB]);
    message.attributes_mut().insert("type", "film");

    queue.topic().publish(message.clone()).await.unwrap();
    queue.topic().publish("small").await.unwrap();
    let got = take(&mut consumer(&queue).await, 2).await;
    let stored = blobs.len();
    crate::kit::settle(&queue, &got[0], chappe_core::backend::Action::Ack).await;

    let sent = &fake.asked("SendMessage")[0].body;
    assert!(
        sent["MessageBody"].as_str().unwrap().starts_with(r#"["software.amazon.payloadoffloading.PayloadS3Pointer""#)
    );
    assert_eq!(sent["MessageAttributes"]["ExtendedPayloadSize"]["StringValue"], (2 * MIB).to_string());
    assert!(got[0].message.body() == message.body() && got[0].message.attributes() == message.attributes());
    assert_eq!((stored, blobs.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn in_a_fifo_queue_nothing_is_sent_behind_a_failure_of_its_key() {
    let fake = Fake::new();
    let publisher = SqsPublisher::new(&fake.client(), FIFO);
    let third = || Message::new("x".repeat(MIB / 2));
    let mut batch: Vec<_> = ["a", "b", "a"]
        .map(|key| {
            let mut message = third();
            message.set_key(key);
            Outgoing::new(message)
        })
        .into();
    let answer = |_: &Json, _: Json| {
        json!({ "Successful": [{ "Id": "1", "MessageId": "m", "MD5OfMessageBody": "" }],
                "Failed": [{ "Id": "0", "Code": "InternalError", "SenderFault": false }] })
    };
    fake.fault("SendMessageBatch", Fault::Rewrite(answer));

    publisher.publish(&mut batch).await.unwrap();

    assert!(matches!(batch[1].result, PublishResult::Accepted(_)));
    assert!(matches!(&batch[2].result, PublishResult::Failed(error) if error.is_retryable()), "{:?}", batch[2].result);
    assert!(fake.asked("SendMessage").is_empty());
}
