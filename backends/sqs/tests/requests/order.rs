//! FIFO queues: one of a group at a time, through failures, and receives that can be repeated.

use std::time::Duration;

use chappe_core::backend::{Action, SettleResult};
use chappe_sqs::SqsQueue;
use tokio::time::{sleep, timeout};

use crate::fake::{FIFO, Fake, Fault};
use crate::kit::{bodies, consumer, fetch, settle, take, try_fetch};

fn filled() -> (Fake, SqsQueue) {
    let fake = Fake::new();
    for (group, body) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")] {
        fake.put_in(group, body);
    }
    let queue = SqsQueue::new(&fake.client(), FIFO);
    (fake, queue)
}

fn retry(seconds: u64) -> Action {
    Action::Retry { delay: Duration::from_secs(seconds), reason: None }
}

#[tokio::test(start_paused = true)]
async fn one_of_a_group_is_out_at_a_time_and_groups_are_out_together() {
    let (_, queue) = filled();
    let mut consumer = consumer(&queue).await;

    let first = fetch(&mut consumer, 10).await;
    let early = timeout(Duration::from_secs(5), try_fetch(&mut consumer, 10)).await;
    settle(&queue, &first[0], Action::Ack).await;
    let second = fetch(&mut consumer, 10).await;

    assert_eq!(bodies(&first), ["a1", "b1"]);
    assert!(early.is_err(), "{early:?}");
    assert_eq!(bodies(&second), ["a2"]);
}

/// A26.
#[tokio::test(start_paused = true)]
async fn a_head_that_fails_takes_its_followers_back_in_the_same_request() {
    let (fake, queue) = filled();
    let mut consumer = consumer(&queue).await;
    let first = fetch(&mut consumer, 10).await;

    settle(&queue, &first[0], retry(7)).await;
    let again = take(&mut consumer, 1).await;

    let asked = fake.asked("ChangeMessageVisibilityBatch");
    let seconds: Vec<_> = asked[0].body["Entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["VisibilityTimeout"].as_u64().unwrap())
        .collect();
    assert_eq!((asked.len(), seconds), (1, vec![7, 0, 0]));
    assert_eq!((bodies(&again), again[0].message.attempt()), (vec!["a1"], 2));
}

#[tokio::test(start_paused = true)]
async fn followers_are_renewed_with_their_head() {
    let (fake, queue) = filled();
    let mut consumer = consumer(&queue).await;
    let first = fetch(&mut consumer, 10).await;
    sleep(Duration::from_secs(20)).await;

    settle(&queue, &first[0], Action::Extend { by: Duration::from_secs(30) }).await;
    sleep(Duration::from_secs(20)).await;
    let acked = settle(&queue, &first[0], Action::Ack).await;
    let second = fetch(&mut consumer, 10).await;

    assert_eq!(fake.asked("ChangeMessageVisibilityBatch")[0].body["Entries"].as_array().unwrap().len(), 3);
    assert!(matches!(acked, SettleResult::Done));
    assert_eq!((bodies(&second), second[0].message.attempt()), (vec!["a2"], 1));
    assert!(second[0].lease_until.unwrap() > tokio::time::Instant::now());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_lost_is_handled_again_before_its_followers() {
    let (_, queue) = filled();
    let mut consumer = consumer(&queue).await;
    let first = fetch(&mut consumer, 10).await;
    sleep(Duration::from_secs(31)).await;

    assert!(matches!(settle(&queue, &first[0], Action::Ack).await, SettleResult::Lost));
    let again = take(&mut consumer, 2).await;

    let mut again = bodies(&again);
    again.sort_unstable();
    assert_eq!(again, ["a1", "b1"]);
}

#[tokio::test(start_paused = true)]
async fn a_receive_whose_answer_was_lost_is_repeated_by_its_name() {
    let (fake, queue) = filled();
    let mut consumer = consumer(&queue).await;
    fake.fault("ReceiveMessage", Fault::Lost);

    try_fetch(&mut consumer, 10).await.unwrap_err();
    let names = {
        let _ = timeout(Duration::from_secs(1), try_fetch(&mut consumer, 10)).await;
        let asked = fake.asked("ReceiveMessage");
        asked.iter().map(|asked| asked.body["ReceiveRequestAttemptId"].clone()).collect::<Vec<_>>()
    };

    assert!(names[0].is_string() && names[0] == names[1], "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_gives_back_what_waits_for_its_turn() {
    let (fake, queue) = filled();
    let stop = chappe_core::backend::StopSource::new();
    let mut consumer = crate::kit::consumer_until(&queue, stop.token()).await;
    let first = fetch(&mut consumer, 10).await;

    stop.stop();
    let rest = fetch(&mut consumer, 10).await;
    for got in rest.iter().chain(&first) {
        settle(&queue, got, Action::Release).await;
    }

    assert_eq!((bodies(&rest), fake.in_flight()), (vec!["a2", "a3"], 0));
}
