//! Settlements: in tens, each with its own result, whatever becomes of the others.

use std::time::Duration;

use chappe_core::ErrorKind;
use chappe_core::backend::{Action, Queue, SettleResult, Settlement};
use chappe_sqs::SqsQueue;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::fake::{Fake, Fault, URL};
use crate::kit::{Got, consumer, settle, settle_all, take};

async fn fetched(fake: &Fake, count: usize) -> (SqsQueue, Vec<Got>) {
    (0..count).for_each(|number| fake.put(&number.to_string()));
    let queue = SqsQueue::new(&fake.client(), URL);
    let got = take(&mut consumer(&queue).await, count).await;
    (queue, got)
}

/// Moves entries of an answer from the successes to the failures.
fn failing(ids: &[&str], code: &str, answer: &Value) -> Value {
    let (failed, done): (Vec<Value>, Vec<Value>) = answer["Successful"]
        .as_array()
        .unwrap()
        .iter()
        .cloned()
        .partition(|entry| ids.contains(&entry["Id"].as_str().unwrap()));
    let failed: Vec<_> = failed
        .iter()
        .map(|entry| json!({ "Id": entry["Id"], "Code": code, "SenderFault": false, "Message": "" }))
        .collect();
    json!({ "Successful": done, "Failed": failed })
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_go_in_tens() {
    let fake = Fake::new();
    let (queue, got) = fetched(&fake, 25).await;

    let results = settle_all(&queue, got.iter().map(|got| (got, Action::Ack)).collect()).await;

    assert!(results.iter().all(|result| matches!(result, SettleResult::Done)));
    let sizes: Vec<_> =
        fake.asked("DeleteMessageBatch").iter().map(|asked| asked.body["Entries"].as_array().unwrap().len()).collect();
    assert_eq!((sizes, fake.len()), (vec![10, 10, 5], 0));
}

#[tokio::test(start_paused = true)]
async fn one_entry_that_fails_is_the_only_one_to_be_repeated() {
    let fake = Fake::new();
    let (queue, got) = fetched(&fake, 10).await;
    fake.fault("DeleteMessageBatch", Fault::Rewrite(|_, answer| failing(&["3"], "InternalError", &answer)));

    let results = settle_all(&queue, got.iter().map(|got| (got, Action::Ack)).collect()).await;

    for (at, result) in results.iter().enumerate() {
        match (at, result) {
            (3, SettleResult::Failed(error)) => assert!(error.is_retryable(), "{error}"),
            (3, other) => panic!("the failed entry came to {other:?}"),
            (_, result) => assert!(matches!(result, SettleResult::Done), "{result:?}"),
        }
    }
    assert!(matches!(settle(&queue, &got[3], Action::Ack).await, SettleResult::Done));
}

#[tokio::test(start_paused = true)]
async fn an_entry_the_answer_does_not_mention_has_failed() {
    let fake = Fake::new();
    let (queue, got) = fetched(&fake, 2).await;
    fake.fault("DeleteMessageBatch", Fault::Answer(json!({ "Successful": [{ "Id": "1" }], "Failed": [] })));

    let results = settle_all(&queue, got.iter().map(|got| (got, Action::Ack)).collect()).await;

    assert!(matches!(&results[0], SettleResult::Failed(error) if error.is_retryable()), "{results:?}");
    assert!(matches!(results[1], SettleResult::Done), "{results:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handle_sqs_does_not_take_is_a_lost_lease() {
    let fake = Fake::new();
    let (queue, got) = fetched(&fake, 2).await;
    fake.fault("DeleteMessageBatch", Fault::Rewrite(|_, answer| failing(&["0"], "ReceiptHandleIsInvalid", &answer)));
    fake.fault(
        "ChangeMessageVisibilityBatch",
        Fault::Rewrite(|_, answer| failing(&["0"], "AWS.SimpleQueueService.MessageNotInflight", &answer)),
    );

    let by = Duration::from_secs(30);
    let results = settle_all(&queue, vec![(&got[0], Action::Ack), (&got[1], Action::Extend { by })]).await;

    assert!(results.iter().all(|result| matches!(result, SettleResult::Lost)), "{results:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_over_here_is_lost_without_asking() {
    let fake = Fake::new();
    let (queue, got) = fetched(&fake, 1).await;
    sleep(Duration::from_secs(31)).await;

    let result = settle(&queue, &got[0], Action::Ack).await;

    assert!(matches!(result, SettleResult::Lost));
    assert!(fake.asked("DeleteMessageBatch").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_leaves_its_entries_to_be_passed_again_and_spares_the_other() {
    let fake = Fake::new();
    let (queue, got) = fetched(&fake, 2).await;
    fake.fault("ChangeMessageVisibilityBatch", Fault::Error(403, "ExpiredToken"));
    let retry = Action::Retry { delay: Duration::from_millis(1200), reason: None };
    let mut batch =
        vec![Settlement::new(got[0].receipt.clone(), Action::Ack), Settlement::new(got[1].receipt.clone(), retry)];

    let error = queue.settle(&mut batch).await.unwrap_err();
    let (acked, pending) = (matches!(batch[0].result, SettleResult::Done), batch[1].result.is_pending());
    queue.settle(&mut batch).await.unwrap();

    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::PermissionDenied, true));
    assert!(acked && pending && matches!(batch[1].result, SettleResult::Done));
    assert_eq!(fake.asked("DeleteMessageBatch").len(), 1);
    // Never earlier than asked for: whole seconds, rounded up.
    assert_eq!(fake.asked("ChangeMessageVisibilityBatch")[1].body["Entries"][0]["VisibilityTimeout"], 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_held_beyond_twelve_hours() {
    let fake = Fake::new();
    let (queue, got) = fetched(&fake, 1).await;
    let hour = Duration::from_secs(3600);

    for _ in 0..11 {
        assert!(matches!(
            settle(&queue, &got[0], Action::Extend { by: hour + Duration::from_secs(60) }).await,
            SettleResult::Done
        ));
        sleep(hour).await;
    }
    let beyond = settle(&queue, &got[0], Action::Extend { by: hour * 2 }).await;
    let retry = settle(&queue, &got[0], Action::Retry { delay: hour * 5, reason: None }).await;

    assert!(matches!(&beyond, SettleResult::Failed(error) if error.kind() == ErrorKind::Unsupported), "{beyond:?}");
    assert!(matches!(retry, SettleResult::Done));
    let last = fake.asked("ChangeMessageVisibilityBatch").pop().unwrap();
    assert!(last.body["Entries"][0]["VisibilityTimeout"].as_u64().unwrap() <= 3600, "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_stored_before_it_is_deleted_and_only_once() {
    let fake = Fake::new();
    let dead = Fake::new();
    fake.put("bad");
    let queue = SqsQueue::new(&fake.client(), URL).dead_letter(format!("{URL}-dead"));
    let got = take(&mut consumer(&queue).await, 1).await;
    drop(dead);
    fake.fault("SendMessage", Fault::Error(503, "ServiceUnavailable"));
    fake.fault("DeleteMessageBatch", Fault::Rewrite(|_, answer| failing(&["0"], "InternalError", &answer)));
    let bury = || {
        let mut settlement = Settlement::new(got[0].receipt.clone(), Action::DeadLetter { reason: "bad".into() });
        settlement.message = Some(Box::new(got[0].message.clone()));
        [settlement]
    };

    let (mut unsent, mut undeleted, mut done) = (bury(), bury(), bury());
    queue.settle(&mut unsent).await.unwrap();
    let deleted_unsent = fake.asked("DeleteMessageBatch").len();
    queue.settle(&mut undeleted).await.unwrap();
    queue.settle(&mut done).await.unwrap();

    assert!(matches!(&unsent[0].result, SettleResult::Failed(error) if error.is_retryable()));
    assert_eq!(deleted_unsent, 0);
    assert!(matches!(undeleted[0].result, SettleResult::Failed(_)));
    assert!(matches!(done[0].result, SettleResult::Done));
    let sent = fake.asked("SendMessage");
    assert_eq!(sent.len(), 2, "once refused, once stored");
    assert_eq!(sent[1].body["MessageAttributes"]["msg-dead-reason"]["StringValue"], "bad");
}
