//! What only a server can show: order under load, redrive, connections, and errors as they really come.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_sqs::types::MessageAttributeValue;
use chappe::{BoxError, Message, Outcome, Server};
use chappe_conformance::Relay;
use chappe_core::backend::{
    Action, Backend, ConsumeOptions, Consumer, DeadLetter, Delivery, Depth, Queue, Settlement, StopSource, StopToken,
};
use chappe_core::{ErrorKind, Topic};
use chappe_sqs::admin::{QueueSpec, arn_of, delete_queue, ensure_queue, purge, queue_url, redrive};
use chappe_sqs::{SqsMetadata, SqsQueue, SqsReceipt};
use tokio::time::{Instant, sleep, timeout};
use tower::service_fn;

use crate::support::{client, client_of, endpoint, fifo, fresh_name, referee, standard};

const SECOND: Duration = Duration::from_secs(1);
/// More than a lease: a message may have been handed to a poll that was cut off.
const PATIENCE: Duration = Duration::from_secs(120);

async fn take(queue: &SqsQueue, count: usize) -> Vec<Delivery<SqsReceipt>> {
    let options = ConsumeOptions::new(StopToken::never(), 64.try_into().unwrap());
    let mut consumer = queue.consume(options).await.unwrap();
    let mut all = Vec::new();
    timeout(PATIENCE, async {
        while all.len() < count {
            consumer.fetch(count - all.len(), &mut all).await.unwrap();
        }
    })
    .await
    .expect("the messages come");
    all
}

async fn ack(queue: &SqsQueue, delivery: &Delivery<SqsReceipt>) {
    queue.settle(&mut [Settlement::new(delivery.receipt.clone(), Action::Ack)]).await.unwrap();
}

fn quick(client: &aws_sdk_sqs::Client, url: &str) -> SqsQueue {
    SqsQueue::new(client, url).wait(SECOND)
}

/// A25: five groups, eight handlers of any length, no lanes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn groups_keep_their_order_and_overlap() {
    let client = client();
    let queue = quick(&client, &fifo(&client).await.unwrap());
    let messages = (0..100_usize).map(|number| {
        let mut message = Message::new(number.to_string());
        message.set_key(["a", "b", "c", "d", "e"][number % 5]);
        message
    });
    assert!(queue.topic().publish_all(messages).await.iter().all(Result::is_ok));
    let seen: Arc<Mutex<HashMap<String, Vec<usize>>>> = Arc::default();
    let running = Arc::new(Mutex::new((0_usize, 0_usize)));
    let stop = StopSource::new();

    let (log, busy, done) = (Arc::clone(&seen), Arc::clone(&running), stop.clone());
    let receiver = service_fn(move |message: Message| {
        let (log, busy, done) = (Arc::clone(&log), Arc::clone(&busy), done.clone());
        async move {
            {
                let mut busy = busy.lock().unwrap();
                busy.0 += 1;
                busy.1 = busy.1.max(busy.0);
            }
            sleep(Duration::from_millis(fastrand::u64(1..10))).await;
            let number: usize = std::str::from_utf8(message.body())?.parse()?;
            let key = message.key().and_then(|key| key.as_str()).unwrap_or_default().to_owned();
            let first_failure = number % 10 == 3 && message.attempt() == 1;
            busy.lock().unwrap().0 -= 1;
            if first_failure {
                return Err(BoxError::from("not yet"));
            }
            let mut log = log.lock().unwrap();
            log.entry(key).or_default().push(number);
            if log.values().map(Vec::len).sum::<usize>() == 100 {
                done.stop();
            }
            Ok(())
        }
    });
    let backoff = chappe::server::Backoff::none();
    let stopped = stop.token();
    let serving = Server::new(queue.clone()).concurrency(8).backoff(backoff).serve(receiver);
    timeout(PATIENCE, serving.with_graceful_shutdown(async move { stopped.stopped().await })).await.unwrap().unwrap();

    for (key, numbers) in seen.lock().unwrap().iter() {
        assert!(numbers.len() == 20 && numbers.is_sorted(), "{key}: {numbers:?}");
    }
    let most = running.lock().unwrap().1;
    assert!(most > 1, "groups did not overlap");
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
}

/// A31, with SQS's own policy.
#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn a_redrive_policy_moves_a_message_by_its_count() {
    let client = client();
    let dead = standard(&client).await.unwrap();
    let url = ensure_queue(&client, &QueueSpec::new(fresh_name()).dead_letter(&dead, 2)).await.unwrap();
    let (queue, dead) = (quick(&client, &url), quick(&client, &dead));
    queue.topic().publish("poison").await.unwrap();
    let stop = StopSource::new();
    let stopped = stop.token();
    let server = Server::new(queue).backoff(chappe::server::Backoff::none());
    let serving = server.serve(service_fn(async |_: Message| Err::<(), BoxError>("never".into())));
    let serving = tokio::spawn(serving.with_graceful_shutdown(async move { stopped.stopped().await }).into_future());

    let letter = take(&dead, 1).await.remove(0);
    stop.stop();
    serving.await.unwrap().unwrap();

    let metadata = letter.message.extensions().get::<SqsMetadata>().unwrap();
    assert_eq!(metadata.dead_letter_source.as_deref(), Some(arn_of(&client, &url).await.unwrap().as_str()));
    assert_eq!(letter.message.body(), "poison");
}

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn rejected_messages_go_where_the_policy_says() {
    let client = client();
    let dead = standard(&client).await.unwrap();
    let url = ensure_queue(&client, &QueueSpec::new(fresh_name()).dead_letter(&dead, 5)).await.unwrap();
    let queue = quick(&client, &url).dead_letter_of_policy().await.unwrap();
    let plain = quick(&client, &dead).dead_letter_of_policy().await.unwrap();
    queue.topic().publish("bad").await.unwrap();
    let delivery = take(&queue, 1).await.remove(0);

    let mut settlement = Settlement::new(delivery.receipt.clone(), Action::DeadLetter { reason: "bad".into() });
    settlement.message = Some(Box::new(delivery.message));
    queue.settle(&mut [settlement]).await.unwrap();
    let letter = take(&plain, 1).await.remove(0);

    assert!(queue.capabilities().dead_letter && !plain.capabilities().dead_letter);
    assert_eq!(&*letter.message.extensions().get::<DeadLetter>().unwrap().reason, "bad");
    assert_eq!(queue.depth().await.unwrap().ready, 0);
}

/// A31, the way back.
#[tokio::test]
#[ignore = "needs an SQS emulator with move tasks: run by cargo xtask test"]
async fn a_move_task_brings_dead_letters_back() {
    let client = referee();
    let dead = standard(&client).await.unwrap();
    let url = ensure_queue(&client, &QueueSpec::new(fresh_name()).dead_letter(&dead, 1)).await.unwrap();
    let queue = quick(&client, &url);
    queue.topic().publish("again").await.unwrap();
    let first = take(&queue, 1).await.remove(0);
    let back = Action::Retry { delay: Duration::ZERO, reason: None };
    queue.settle(&mut [Settlement::new(first.receipt.clone(), back)]).await.unwrap();
    let dead_queue = quick(&client, &dead);
    // Its next receive is what has SQS move it, and brings nothing.
    let options = ConsumeOptions::new(StopToken::never(), 1.try_into().unwrap());
    let mut consumer = queue.consume(options).await.unwrap();
    while dead_queue.depth().await.unwrap().ready == 0 {
        consumer.fetch(1, &mut Vec::new()).await.unwrap();
    }
    drop(consumer);

    let task = redrive(&client, &dead, None).await.unwrap();
    let again = take(&queue, 1).await.remove(0);

    assert_eq!(again.message.body(), "again");
    while !task.status().await.unwrap().is_over() {
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(task.status().await.unwrap().moved, 1);
}

/// A33: a long poll holds a connection, and nothing waits for it.
#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn acknowledgements_do_not_wait_for_polls() {
    let client = client();
    let queue = SqsQueue::new(&client, standard(&client).await.unwrap()).wait(SECOND * 3);
    let results = queue.topic().publish_all((0..30).map(|number| number.to_string())).await;
    assert!(results.iter().all(Result::is_ok));
    let deliveries = take(&queue, 30).await;
    let stop = StopSource::new();
    let polling = (0..3).map(|_| {
        let (queue, stop) = (queue.clone(), stop.token());
        tokio::spawn(async move {
            let mut consumer = queue.consume(ConsumeOptions::new(stop, 10.try_into().unwrap())).await.unwrap();
            consumer.fetch(10, &mut Vec::new()).await.unwrap();
        })
    });
    let polling: Vec<_> = polling.collect();
    sleep(Duration::from_millis(200)).await;

    let mut slowest = Duration::ZERO;
    for delivery in &deliveries {
        let began = Instant::now();
        ack(&queue, delivery).await;
        slowest = slowest.max(began.elapsed());
    }
    stop.stop();
    for poll in polling {
        poll.await.unwrap();
    }

    assert!(slowest < SECOND, "an acknowledgement took {slowest:?}");
}

/// A4, on a real connection: it breaks, it is refused, it comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn a_dead_endpoint_is_survived() {
    let relay = Relay::to(endpoint().trim_start_matches("http://")).await.unwrap();
    let direct = client();
    let url = standard(&direct).await.unwrap();
    let queue = quick(&client_of(&format!("http://{}", relay.addr())), &url).lease(SECOND * 5);
    let (stop, handled) = (StopSource::new(), Arc::new(Mutex::new(Vec::new())));
    let (stopped, log, done) = (stop.token(), Arc::clone(&handled), stop.clone());
    let receiver = service_fn(move |message: Message| {
        let (log, done) = (Arc::clone(&log), done.clone());
        async move {
            let mut log = log.lock().unwrap();
            log.push(message.into_body());
            if log.len() == 2 {
                done.stop();
            }
            Ok::<_, BoxError>(())
        }
    });
    let server = Server::new(queue.clone());
    let serving = server.serve(receiver).with_graceful_shutdown(async move { stopped.stopped().await });
    let serving = tokio::spawn(serving.into_future());
    let topic = SqsQueue::new(&direct, &url).topic();

    topic.publish("before").await.unwrap();
    let mut health = queue.status().watch();
    relay.refuse().await;
    relay.cut();
    timeout(PATIENCE, health.wait_for(|health| !health.healthy)).await.expect("it is noticed").unwrap();
    topic.publish("after").await.unwrap();
    relay.heal().await;
    timeout(PATIENCE, serving).await.expect("it recovers").unwrap().unwrap();

    assert_eq!(handled.lock().unwrap().len(), 2);
    assert!(queue.status().is_healthy());
}

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn a_queue_that_is_not_there_is_named_by_every_call() {
    let client = client();
    let url = standard(&client).await.unwrap();
    delete_queue(&client, &url).await.unwrap();
    let queue = quick(&client, &url);

    let consuming = queue.consume(ConsumeOptions::new(StopToken::never(), 1.try_into().unwrap())).await.unwrap_err();
    let publishing = queue.topic().publish("x").await.unwrap_err();
    let counting = queue.depth().await.unwrap_err();
    let naming = queue_url(&client, &fresh_name()).await.unwrap_err();

    for error in [consuming, publishing, counting] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert!(error.to_string().contains(&url), "{error}");
    }
    assert_eq!(naming.kind(), ErrorKind::NotFound, "{naming:?}");
}

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn making_a_queue_again_is_the_same_queue_and_purging_empties_it() {
    let client = client();
    let spec = QueueSpec::new(fresh_name()).visibility(SECOND * 7);

    let url = ensure_queue(&client, &spec).await.unwrap();
    let again = ensure_queue(&client, &spec).await.unwrap();
    let queue = quick(&client, &url);
    queue.topic().publish("x").await.unwrap();
    purge(&client, &url).await.unwrap();

    assert_eq!((&url, &queue_url(&client, url.rsplit('/').next().unwrap()).await.unwrap()), (&again, &url));
    assert_eq!(queue.depth().await.unwrap().ready, 0);
}

/// Interop: what go-msg writes arrives, and what we write it reads.
#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn a_message_of_go_msg_arrives_as_it_was_written_and_the_reverse() {
    let client = client();
    let url = standard(&client).await.unwrap();
    let queue = quick(&client, &url);
    let text = |value: &str| MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap();
    let theirs = client.send_message().queue_url(&url).message_body("aGVsbG8sd29ybGQh");
    let theirs = theirs.message_attributes("Content-Transfer-Encoding", text("base64"));
    theirs.message_attributes("Type", text("a,b")).send().await.unwrap();

    let received = take(&queue, 1).await.remove(0);
    ack(&queue, &received).await;
    let mut ours = Message::new("hello");
    ours.attributes_mut().insert("Type", "greeting");
    queue.topic().publish(ours).await.unwrap();
    let raw = client.receive_message().queue_url(&url).message_attribute_names("All").send().await.unwrap();

    assert_eq!(received.message.body(), "aGVsbG8sd29ybGQh");
    assert_eq!(received.message.attributes().get_str("content-transfer-encoding"), Some("base64"));
    assert_eq!(received.message.attributes().get_str("type"), Some("a,b"));
    let raw = &raw.messages()[0];
    let attributes = raw.message_attributes().unwrap();
    assert_eq!((raw.body(), attributes.len()), (Some("hello"), 1));
    assert_eq!(attributes["Type"].string_value(), Some("greeting"));
}

/// S2 of go-msg: ten thousand messages, a hundred handlers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn ten_thousand_messages_are_handled_and_deleted() {
    const ALL: usize = 10_000;
    let client = client();
    let queue = quick(&client, &standard(&client).await.unwrap());
    let topic = queue.topic().max_in_flight(4).timeout(SECOND * 60);
    let results = topic.publish_all((0..ALL).map(|number| number.to_string())).await;
    assert!(results.iter().all(Result::is_ok));
    let (stop, seen) = (StopSource::new(), Arc::new(Mutex::new(std::collections::HashSet::new())));
    let (stopped, log, done) = (stop.token(), Arc::clone(&seen), stop.clone());
    let receiver = service_fn(move |message: Message| {
        let mut log = log.lock().unwrap();
        log.insert(message.into_body());
        if log.len() == ALL {
            done.stop();
        }
        std::future::ready(Ok::<_, BoxError>(Outcome::Ack))
    });

    let server = Server::new(queue.clone()).concurrency(100);
    let serving = server.serve(receiver).with_graceful_shutdown(async move { stopped.stopped().await });
    let report = timeout(PATIENCE, serving).await.unwrap().unwrap();

    assert_eq!(queue.depth().await.unwrap(), Depth::default());
    assert_eq!((seen.lock().unwrap().len(), report.metrics.lost), (ALL, 0), "{report}");
}
