//! What is made of the answers to batches.

use chappe_core::backend::{Outgoing, PublishResult, Publisher};
use chappe_core::{ErrorKind, Message, Topic};

use crate::fake::{ARN, FIFO, Fake, Request, accept, done, entries, error, failed, ok};

fn batch(messages: usize) -> Vec<Outgoing> {
    (0..messages).map(|n| Outgoing::new(Message::new(format!("m{n}")))).collect()
}

fn outcome(outgoing: &Outgoing) -> Result<String, (ErrorKind, bool)> {
    match &outgoing.result {
        PublishResult::Accepted(receipt) => Ok(receipt.id.as_ref().map(ToString::to_string).unwrap_or_default()),
        PublishResult::Failed(error) => Err((error.kind(), error.is_ambiguous())),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_entry_has_its_own_result() {
    let answer = |_: &Request| {
        let failed = failed("1", "InvalidParameter", true) + &failed("2", "InternalError", false);
        ok("PublishBatch", &format!("<Successful>{}</Successful><Failed>{failed}</Failed>", done("0")))
    };
    let mut batch = batch(4);

    Fake::new(answer).publisher(ARN).publish(&mut batch).await.unwrap();

    assert_eq!(outcome(&batch[0]), Ok("m0".to_owned()));
    assert_eq!(outcome(&batch[1]), Err((ErrorKind::Invalid, false)));
    assert_eq!(outcome(&batch[2]), Err((ErrorKind::Unavailable, false)));
    // What an answer does not mention may have been published.
    assert_eq!(outcome(&batch[3]), Err((ErrorKind::Unavailable, true)));
}

#[tokio::test(start_paused = true)]
async fn only_the_entry_the_service_failed_is_published_again() {
    let mut first = true;
    let fake = Fake::new(move |request| {
        if request["Action"] != "PublishBatch" || !std::mem::take(&mut first) {
            return accept(request);
        }
        let done: String = entries(request).iter().skip(1).map(|entry| done(&entry["Id"])).collect();
        let failed = failed("0", "InternalError", false);
        ok("PublishBatch", &format!("<Successful>{done}</Successful><Failed>{failed}</Failed>"))
    });

    let results = fake.publisher(ARN).topic().publish_all((0..11).map(|n| format!("m{n}"))).await;

    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let mut sent: Vec<String> =
        fake.requests().iter().flat_map(entries).map(|entry| entry["Message"].clone()).collect();
    sent.sort();
    let twice: Vec<&String> = sent.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
    assert_eq!((sent.len(), twice.len()), (12, 1), "{sent:?}");
}

#[tokio::test]
async fn one_message_that_spoils_a_batch_is_found() {
    let fake = Fake::new(|request| {
        if entries(request).iter().any(|entry| entry["Message"] == "m3") {
            return error(400, "InvalidParameter", "Invalid parameter: Message");
        }
        accept(request)
    });
    let mut batch = batch(6);

    fake.publisher(ARN).publish(&mut batch).await.unwrap();

    for (at, outgoing) in batch.iter().enumerate() {
        assert_eq!(outcome(outgoing).is_ok(), at != 3, "{at}");
    }
    assert_eq!(outcome(&batch[3]), Err((ErrorKind::Invalid, false)));
}

#[tokio::test]
async fn a_batch_that_is_too_long_is_sent_in_parts() {
    let fake = Fake::new(|request| {
        if entries(request).len() > 3 { error(400, "BatchRequestTooLong", "too long") } else { accept(request) }
    });
    let mut batch = batch(10);

    fake.publisher(ARN).publish(&mut batch).await.unwrap();

    assert!(batch.iter().all(|outgoing| outcome(outgoing).is_ok()));
}

#[tokio::test]
async fn nothing_overtakes_a_message_of_its_key_that_is_to_be_repeated() {
    let fake = Fake::new(|request| {
        if entries(request).iter().any(|entry| entry["Message"].starts_with('a')) {
            return error(500, "InternalError", "no");
        }
        accept(request)
    });
    // Together the first two are too long for one call.
    let mut batch: Vec<Outgoing> = ["a", "b", "c"]
        .map(|first| {
            let mut message = Message::new(first.repeat(60));
            message.set_key(if first == "c" { "other" } else { "key" });
            Outgoing::new(message)
        })
        .into();

    fake.publisher(FIFO).max_message_bytes(100).publish(&mut batch).await.unwrap();

    assert_eq!(outcome(&batch[0]), Err((ErrorKind::Unavailable, false)));
    assert_eq!(outcome(&batch[1]), Err((ErrorKind::Unavailable, false)));
    assert!(outcome(&batch[2]).is_ok());
    let sent = fake.requests().iter().filter(|request| request["Message"].starts_with('b')).count();
    assert_eq!(sent, 0);
}

#[tokio::test]
async fn the_limit_of_a_topic_is_asked_for() {
    let fake = Fake::new(|request| match &*request["Action"] {
        "GetTopicAttributes" => ok(
            "GetTopicAttributes",
            "<Attributes><entry><key>MaximumMessageSize</key><value>1048576</value></entry></Attributes>",
        ),
        _ => accept(request),
    });

    let publisher = fake.publisher(ARN).measured().await.unwrap();

    assert_eq!(publisher.publish_capabilities().max_message_bytes, 1 << 20);
    assert!(publisher.topic().publish(vec![b'x'; 1_000_000]).await.is_ok());
}

#[tokio::test]
async fn a_topic_that_does_not_tell_its_limit_has_the_usual_one() {
    let fake = Fake::new(|_| ok("GetTopicAttributes", "<Attributes/>"));

    let publisher = fake.publisher(ARN).measured().await.unwrap();

    assert_eq!(publisher.publish_capabilities().max_message_bytes, 256 << 10);
}

#[tokio::test]
async fn a_topic_that_is_missing_says_so_when_it_is_measured() {
    let fake = Fake::new(|_| error(404, "NotFound", "Topic does not exist"));

    let error = fake.publisher(ARN).measured().await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains(ARN), "{error}");
}
