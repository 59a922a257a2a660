//! A server in front of the queue: what its settings become in requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chappe::server::Backoff;
use chappe::{BoxError, Message, Server, Topic};
use chappe_sqs::SqsQueue;
use tokio::time::{Instant, sleep, sleep_until};
use tower::service_fn;

use crate::fake::{Fake, Fault, URL};

/// Serves until the time is over, and counts calls by what `answer` made of them.
async fn serve(
    fake: &Fake,
    seconds: u64,
    configure: impl FnOnce(Server<SqsQueue>) -> Server<SqsQueue>,
    answer: impl Fn(usize, Message) -> Result<Duration, BoxError> + Clone + Send + Sync + 'static,
) -> usize {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let server = configure(Server::new(SqsQueue::new(&fake.client(), URL)));
    let receiver = service_fn(move |message: Message| {
        let call = counter.fetch_add(1, Ordering::SeqCst);
        let answer = answer.clone();
        async move {
            sleep(answer(call, message)?).await;
            Ok::<_, BoxError>(())
        }
    });
    let until = Instant::now() + Duration::from_secs(seconds);
    server.serve(receiver).with_graceful_shutdown(sleep_until(until)).await.unwrap();
    calls.load(Ordering::SeqCst)
}

/// A16 and A32.
#[tokio::test(start_paused = true)]
async fn a_thousand_messages_take_a_third_of_a_request_each() {
    let fake = Fake::new();
    let topic = SqsQueue::new(&fake.client(), URL).topic();
    let results = topic.publish_all((0..1000).map(|number| number.to_string())).await;
    assert!(results.iter().all(Result::is_ok));

    let calls = serve(&fake, 30, |server| server.concurrency(100), |_, _| Ok(Duration::ZERO)).await;

    let operations = ["SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch"];
    let requests: usize = operations.iter().map(|operation| fake.asked(operation).len()).sum();
    assert_eq!((calls, fake.len()), (1000, 0));
    assert!(requests <= 350, "{requests} requests for 1000 messages");
}

/// A11.
#[tokio::test(start_paused = true)]
async fn a_handler_three_leases_long_has_one_delivery() {
    let fake = Fake::new();
    (0..25).for_each(|number| fake.put(&number.to_string()));

    let calls = serve(&fake, 120, |server| server.concurrency(25), |_, _| Ok(Duration::from_secs(90))).await;

    let renewals = fake.asked("ChangeMessageVisibilityBatch");
    assert_eq!((calls, fake.len()), (25, 0));
    assert!(renewals.iter().all(|asked| asked.body["Entries"].as_array().unwrap().len() <= 10));
    assert!(renewals.len() <= 30, "{} renewals", renewals.len());
}

/// A12, the first half.
#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_is_repeated() {
    let fake = Fake::new();
    fake.put("x");
    for _ in 0..4 {
        fake.fault("ChangeMessageVisibilityBatch", Fault::Error(500, "InternalFailure"));
    }

    let calls = serve(&fake, 100, |server| server, |_, _| Ok(Duration::from_secs(60))).await;

    assert_eq!((calls, fake.len()), (1, 0));
}

/// A14.
#[tokio::test(start_paused = true)]
async fn a_failure_is_put_off_by_the_backoff_in_whole_seconds() {
    let fake = Fake::new();
    fake.put("x");
    let backoff = Backoff::exponential(Duration::from_secs(4), Duration::from_secs(60));

    let calls = serve(
        &fake,
        200,
        |server| server.backoff(backoff),
        |call, _| match call {
            0..3 => Err("not yet".into()),
            _ => Ok(Duration::ZERO),
        },
    )
    .await;

    let delays: Vec<_> = fake
        .asked("ChangeMessageVisibilityBatch")
        .iter()
        .map(|asked| asked.body["Entries"][0]["VisibilityTimeout"].as_u64().unwrap())
        .collect();
    assert_eq!((calls, delays.len(), fake.len()), (4, 3, 0));
    assert!(delays[0] <= 4 && delays[1] <= 8 && delays[2] <= 16, "{delays:?}");
}

/// A18.
#[tokio::test(start_paused = true)]
async fn a_deletion_whose_answer_was_lost_does_not_run_the_handler_twice() {
    let fake = Fake::new();
    fake.put("x");
    // The SDK repeats a request twice, which is harmless here.
    for _ in 0..3 {
        fake.fault("DeleteMessageBatch", Fault::Lost);
    }

    let calls = serve(&fake, 60, |server| server, |_, _| Ok(Duration::ZERO)).await;

    assert_eq!((calls, fake.len()), (1, 0));
}

/// A4 and A6.
#[tokio::test(start_paused = true)]
async fn a_server_outlives_every_failure_of_receiving() {
    let fake = Fake::new();
    fake.put("x");
    for _ in 0..5 {
        fake.fault("ReceiveMessage", Fault::Error(500, "InternalFailure"));
    }
    for _ in 0..3 {
        fake.fault("ReceiveMessage", Fault::Error(403, "ExpiredToken"));
        fake.fault("ReceiveMessage", Fault::Error(400, "ThrottlingException"));
        fake.fault("ReceiveMessage", Fault::Refused);
    }

    let calls = serve(&fake, 600, |server| server, |_, _| Ok(Duration::ZERO)).await;

    let polls = fake.asked("ReceiveMessage");
    assert_eq!((calls, fake.len()), (1, 0));
    // It backed off: fourteen failures did not come in a burst.
    assert!(polls[14].at - polls[0].at > Duration::from_secs(10), "{:?}", polls[14].at - polls[0].at);
}

/// A8.
#[tokio::test(start_paused = true)]
async fn a_message_that_arrives_after_the_stop_goes_back_at_once() {
    let fake = Fake::new();
    let late = fake.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(1200)).await;
        late.put("late");
    });

    let calls = serve(&fake, 1, |server| server, |_, _| Ok(Duration::ZERO)).await;

    assert_eq!((calls, fake.len(), fake.in_flight()), (0, 1, 0));
    assert_eq!(fake.asked("ChangeMessageVisibilityBatch")[0].body["Entries"][0]["VisibilityTimeout"], 0);
}
