//! What only a server can show: crashes, lost answers, lost data, and errors as they really come.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::{BoxError, Message, Server};
use chappe_conformance::{Direction, Relay};
use chappe_core::backend::{
    Action, Backend, ConsumeOptions, Consumer, DeadLetter, Delivery, Fetch, Outgoing, PublishResult, Publisher, Queue,
    SettleResult, Settlement, StopSource, StopToken,
};
use chappe_core::{ErrorKind, Topic};
use chappe_redis::{RedisConsumer, RedisQueue, RedisReceipt};
use redis::{Value, cmd};
use tokio::time::{Instant, sleep, timeout};
use tower::service_fn;

use crate::support::{Own, PATIENCE, address, client, client_of, fresh_name, run};

const SECOND: Duration = Duration::from_secs(1);
/// Names the queue a child is to hold messages of.
const CHILD: &str = "CHAPPE_CHILD_QUEUE";

pub(crate) async fn consumer(queue: &RedisQueue) -> RedisConsumer {
    queue.consume(ConsumeOptions::new(StopToken::never(), 1000.try_into().unwrap())).await.unwrap()
}

pub(crate) async fn take(consumer: &mut RedisConsumer, count: usize) -> Vec<Delivery<RedisReceipt>> {
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

pub(crate) async fn settle(queue: &RedisQueue, receipt: RedisReceipt, action: Action) -> SettleResult {
    let mut batch = [Settlement::new(receipt, action)];
    queue.settle(&mut batch).await.unwrap();
    let [entry] = batch;
    entry.result
}

pub(crate) async fn ack(queue: &RedisQueue, delivery: &Delivery<RedisReceipt>) {
    assert!(matches!(settle(queue, delivery.receipt, Action::Ack).await, SettleResult::Done));
}

pub(crate) async fn publish_numbers(queue: &RedisQueue, count: usize) {
    let results = queue.topic().publish_all((0..count).map(|number| number.to_string())).await;
    assert!(results.iter().all(Result::is_ok));
}

pub(crate) fn body(message: &Message) -> String {
    String::from_utf8(message.body().to_vec()).unwrap()
}

#[tokio::test]
#[ignore = "is started by a test that kills it"]
async fn a_child_that_holds_messages() {
    let name = std::env::var(CHILD).expect("a test has set it");
    let queue = RedisQueue::new(&client(), name).lease(SECOND);
    let mut consumer = consumer(&queue).await;
    take(&mut consumer, 100).await;
    run(&client(), cmd("SET").arg(format!("{}:holds", queue.destination())).arg(1)).await;
    std::future::pending().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn what_a_killed_process_held_comes_back_once_each_one_attempt_older() {
    let name = fresh_name();
    let queue = RedisQueue::new(&client(), name.as_str()).lease(SECOND);
    publish_numbers(&queue, 100).await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "rows::a_child_that_holds_messages"])
        .env(CHILD, &name)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut held = cmd("EXISTS");
    held.arg(format!("{name}:holds"));
    let holds = timeout(PATIENCE, async {
        while run(&client(), &held).await != Value::Int(1) {
            sleep(Duration::from_millis(5)).await;
        }
    });
    let held = holds.await;

    child.kill().unwrap();
    child.wait().unwrap();
    held.expect("the child has fetched");
    let mut consumer = consumer(&queue).await;
    let back = take(&mut consumer, 100).await;

    let mut numbers: Vec<usize> = back.iter().map(|delivery| body(&delivery.message).parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    assert!(back.iter().all(|delivery| delivery.message.attempt() == 2));
    assert_eq!(queue.depth().await.unwrap().in_flight, 100);
}

/// A read whose answer never arrives: what it took is asked for again, long before a lease would be over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn what_a_lost_answer_had_is_handed_out_after_the_reconnect() {
    let relay = Relay::to(address()).await.unwrap();
    let queue = RedisQueue::new(&client_of(relay.addr()), fresh_name()).lease(PATIENCE * 10);
    let direct = RedisQueue::new(&client(), queue.destination());
    let mut consumer = consumer(&queue).await;
    publish_numbers(&direct, 1).await;
    let first = take(&mut consumer, 1).await.remove(0);
    let mut out = Vec::new();
    let read = timeout(SECOND / 4, consumer.fetch(10, &mut out));
    assert!(read.await.is_err(), "a read waits");

    relay.blackhole(Direction::ToClient);
    publish_numbers(&direct, 3).await;
    timeout(PATIENCE, async {
        while direct.depth().await.unwrap().in_flight < 2 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the read takes what it was woken for");
    relay.cut();
    relay.heal().await;
    let failed = timeout(PATIENCE, consumer.fetch(10, &mut out)).await.unwrap();
    let back = take(&mut consumer, 3).await;

    assert!(failed.is_err_and(|error| error.is_retryable()));
    assert!(back.iter().all(|delivery| delivery.message.attempt() == 1), "nobody has tried them");
    for delivery in back.iter().chain([&first]) {
        ack(&queue, delivery).await;
    }
    assert_eq!(direct.depth().await.unwrap().in_flight, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn a_connection_cut_in_the_middle_of_an_answer_loses_nothing() {
    let relay = Relay::to(address()).await.unwrap();
    let queue = RedisQueue::new(&client_of(relay.addr()), fresh_name()).lease(PATIENCE * 10);
    let direct = RedisQueue::new(&client(), queue.destination());
    let mut consumer = consumer(&queue).await;
    let big = vec![7; 100_000];
    for _ in 0..5 {
        direct.topic().publish(big.clone()).await.unwrap();
    }

    relay.cut_after(250_000, Direction::ToClient);
    let mut out = Vec::new();
    let cut = timeout(PATIENCE, consumer.fetch(10, &mut out)).await.unwrap();
    let back = take(&mut consumer, 5 - out.len()).await;

    assert!(cut.is_err());
    assert!(back.iter().all(|delivery| delivery.message.body().len() == big.len()));
    assert_eq!(direct.depth().await.unwrap().in_flight, 5);
}

/// A server that answers nothing any more, with connections that stand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn a_server_that_falls_silent_is_noticed() {
    let relay = Relay::to(address()).await.unwrap();
    let queue = RedisQueue::new(&client_of(relay.addr()), fresh_name()).wait(SECOND);
    let mut consumer = consumer(&queue).await;

    relay.blackhole(Direction::Both);
    let silent = timeout(PATIENCE, consumer.fetch(1, &mut Vec::new())).await.expect("it does not wait for ever");
    let healthy = queue.status().is_healthy();
    relay.heal().await;
    publish_numbers(&RedisQueue::new(&client(), queue.destination()), 1).await;
    // Until the old connections are cut off for good the server may answer to one nobody reads.
    relay.cut();

    assert!(silent.is_err_and(|error| error.is_retryable()));
    assert!(!healthy);
    let mut out = Vec::new();
    timeout(PATIENCE, async {
        while out.is_empty() {
            let _ = consumer.fetch(1, &mut out).await;
        }
    })
    .await
    .expect("it comes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn consuming_goes_on_when_the_server_has_lost_everything() {
    let server = Own::start(false).await;
    let queue = RedisQueue::new(&client_of(server.address()), fresh_name()).wait(SECOND / 5);
    publish_numbers(&queue, 1).await;
    let mut consumer = consumer(&queue).await;
    let lost = take(&mut consumer, 1).await.remove(0);
    let epoch = queue.status().health().epoch;
    let next = |consumer: RedisConsumer, queue: RedisQueue| async move {
        let mut consumer = consumer;
        let mut out = Vec::new();
        let topic = queue.topic();
        timeout(PATIENCE, async {
            // What was published just before the data were lost is lost with them.
            while out.is_empty() {
                let _ = topic.publish("after").await;
                let _ = consumer.fetch(1, &mut out).await;
            }
        })
        .await
        .expect("a message comes");
        (consumer, out.remove(0))
    };

    run(&client_of(server.address()), &cmd("FLUSHALL")).await;
    let (consumer, after_flush) = next(consumer, queue.clone()).await;
    let stale = settle(&queue, lost.receipt, Action::Ack).await;
    server.kill();
    server.revive().await;
    let (_consumer, after_restart) = next(consumer, queue.clone()).await;

    assert!(matches!(stale, SettleResult::Lost), "{stale:?}");
    assert_eq!((body(&after_flush.message), body(&after_restart.message)), ("after".into(), "after".into()));
    assert!(queue.status().health().epoch > epoch, "what was lost is told: {:?}", queue.status());
}

/// Deleting a consumer deletes what it has pending: reproduced, and what lost messages for others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn closing_removes_consumers_only_when_they_have_nothing_pending() {
    let queue = RedisQueue::new(&client(), fresh_name()).lease(SECOND);
    publish_numbers(&queue, 2).await;
    let consumers = async || {
        let mut info = cmd("XINFO");
        info.arg("CONSUMERS").arg(format!("{{{}}}:s", queue.destination())).arg("chappe");
        let Value::Array(consumers) = run(&client(), &info).await else { panic!("it is a list") };
        consumers.len()
    };
    let stop = StopSource::new();
    let options = ConsumeOptions::new(stop.token(), 10.try_into().unwrap());
    let mut consumer = queue.consume(options).await.unwrap();
    let held = take(&mut consumer, 2).await;
    stop.stop();
    assert_eq!(consumer.fetch(1, &mut Vec::new()).await.unwrap(), Fetch::Stopped);
    drop(consumer);

    ack(&queue, &held[0]).await;
    queue.close().await.unwrap();
    let with_one_pending = consumers().await;
    ack(&queue, &held[1]).await;
    queue.close().await.unwrap();
    let without = consumers().await;

    assert_eq!((with_one_pending, without), (1, 0));
}

/// Consumers come and go, and are removed all the while: what they held comes back, every message of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn consumers_that_are_removed_while_others_come_and_go_take_nothing_with_them() {
    const COUNT: usize = 100;
    let queue = RedisQueue::new(&client(), fresh_name()).lease(SECOND);
    publish_numbers(&queue, COUNT).await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let removing = queue.clone();
    let remover = tokio::spawn(async move {
        while stopped.try_recv().is_err() {
            removing.close().await.unwrap();
        }
    });

    // Taken and neither settled nor given back, as by one that hangs.
    for _ in 0..COUNT / 5 {
        let mut passing = consumer(&queue).await;
        let held = take(&mut passing, 5).await;
        drop(passing);
        ack(&queue, &held[0]).await;
    }
    let mut last = consumer(&queue).await;
    let back = take(&mut last, COUNT / 5 * 4).await;
    stop.send(()).unwrap();
    remover.await.unwrap();

    assert!(back.iter().all(|delivery| delivery.message.attempt() == 2));
    for delivery in &back {
        ack(&queue, delivery).await;
    }
    assert_eq!(queue.depth().await.unwrap(), chappe_core::backend::Depth::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn a_message_that_cannot_be_buried_stays() {
    let queue = RedisQueue::new(&client(), fresh_name());
    publish_numbers(&queue, 2).await;
    let held = take(&mut consumer(&queue).await, 2).await;
    let dead = format!("{{{}}}:dead:s", queue.destination());
    run(&client(), cmd("SET").arg(&dead).arg("something else")).await;
    let bury = || Action::DeadLetter { reason: "enough".into() };
    let mut batch = [Settlement::new(held[0].receipt, bury()), Settlement::new(held[1].receipt, Action::Release)];

    queue.settle(&mut batch).await.unwrap();
    run(&client(), cmd("DEL").arg(&dead)).await;
    let again = settle(&queue, held[0].receipt, bury()).await;

    assert!(matches!(&batch[0].result, SettleResult::Failed(error) if error.kind() == ErrorKind::Invalid), "{batch:?}");
    assert!(matches!(batch[1].result, SettleResult::Done), "its neighbour is not kept from being settled");
    assert!(matches!(again, SettleResult::Done));
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.ready, depth.in_flight, depth.dead), (1, 0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn what_somebody_else_wrote_goes_to_the_dead_letter_with_a_reason() {
    let queue = RedisQueue::new(&client(), fresh_name());
    let stream = format!("{{{}}}:s", queue.destination());
    run(&client(), cmd("XADD").arg(&stream).arg("*").arg("payload").arg("{}")).await;
    publish_numbers(&queue, 1).await;
    let mut consumer = consumer(&queue).await;

    let good = take(&mut consumer, 1).await.remove(0);
    let dead = queue.dead_letter();
    let depth = queue.depth().await.unwrap();

    assert_eq!((depth.ready, depth.in_flight, depth.dead), (0, 1, 1));
    ack(&queue, &good).await;
    // It cannot be read there either, and so goes on to the dead letters of the dead letters.
    let mut looking = dead.consume(ConsumeOptions::new(StopToken::never(), 1.try_into().unwrap())).await.unwrap();
    let nothing = timeout(SECOND / 2, looking.fetch(1, &mut Vec::new())).await;
    assert!(nothing.is_err());
    let mut range = cmd("XRANGE");
    range.arg(format!("{{{}}}:dead:dead:s", queue.destination())).arg("-").arg("+");
    let kept = format!("{:?}", run(&client(), &range).await);
    assert!(kept.contains("payload"), "{kept}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn dead_letters_go_back_as_messages_that_were_never_tried() {
    let queue = RedisQueue::new(&client(), fresh_name());
    publish_numbers(&queue, 300).await;
    let mut consumer = consumer(&queue).await;
    for delivery in take(&mut consumer, 300).await {
        settle(&queue, delivery.receipt, Action::DeadLetter { reason: "too early".into() }).await;
    }
    let at_hand = {
        let dead = queue.dead_letter();
        let mut looking = dead.consume(ConsumeOptions::new(StopToken::never(), 1.try_into().unwrap())).await.unwrap();
        take(&mut looking, 1).await.remove(0)
    };

    let moved = queue.redrive().await.unwrap();
    let back = take(&mut consumer, 299).await;

    assert_eq!(&*at_hand.message.extensions().get::<DeadLetter>().unwrap().reason, "too early");
    assert_eq!(moved, 299, "what somebody looks at stays");
    assert!(back.iter().all(|delivery| delivery.message.attempt() == 1));
    assert!(back.iter().all(|delivery| delivery.message.extensions().get::<DeadLetter>().is_none()));
    assert_eq!(queue.depth().await.unwrap().dead, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn a_full_queue_refuses_and_drops_nothing() {
    let queue = RedisQueue::new(&client(), fresh_name());
    let publisher = queue.publisher().max_len(3);
    let mut batch: Vec<_> = (0..5).map(|number| Outgoing::new(Message::new(number.to_string()))).collect();

    publisher.publish(&mut batch).await.unwrap();
    let mut consumer = consumer(&queue).await;
    let held = take(&mut consumer, 3).await;
    let topic = publisher.topic().timeout(PATIENCE);
    let waiting = tokio::spawn(async move { topic.publish("later").await });
    ack(&queue, &held[0]).await;

    let accepted: Vec<_> = batch.iter().map(|entry| matches!(entry.result, PublishResult::Accepted(_))).collect();
    assert_eq!(accepted, [true, true, true, false, false]);
    let PublishResult::Failed(full) = &batch[4].result else { panic!("{batch:?}") };
    assert!(full.is_retryable() && !full.is_ambiguous(), "{full:?}");
    assert!(full.to_string().ends_with("is full: it holds 3 messages, the limit is 3"), "{full}");
    timeout(PATIENCE, waiting).await.unwrap().unwrap().expect("there is room again");
    assert_eq!(body(&take(&mut consumer, 1).await[0].message), "later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn an_id_is_remembered_for_its_window() {
    let queue = RedisQueue::new(&client(), fresh_name());
    let window = SECOND;
    let topic = queue.publisher().dedup_window(window).topic();
    let message = || {
        let mut message = Message::new("x");
        message.set_id("order-7");
        message
    };

    let started = Instant::now();
    let first = topic.publish(message()).await.unwrap();
    let second = topic.publish(message()).await.unwrap();
    let in_time = started.elapsed() < window;
    sleep(window + SECOND / 10).await;
    let third = topic.publish(message()).await.unwrap();

    if in_time {
        assert!(second.duplicate && second.id == first.id, "{second:?}");
    }
    assert!(!first.duplicate && !third.duplicate && third.id != first.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn a_message_the_replicas_do_not_have_may_have_been_published() {
    let queue = RedisQueue::new(&client(), fresh_name());
    let publisher = queue.publisher().wait_replicas(1, Duration::from_millis(20));
    let mut with_id = Message::new("y");
    with_id.set_id("1");
    let mut batch = [Outgoing::new(Message::new("x")), Outgoing::new(with_id)];

    publisher.publish(&mut batch).await.unwrap();

    for entry in &batch {
        let PublishResult::Failed(error) = &entry.result else { panic!("there is no replica: {batch:?}") };
        assert!(error.is_ambiguous(), "{error:?}");
    }
    assert_eq!(queue.depth().await.unwrap().ready, 2);
}

/// A consumer that waits for seconds is woken for a message that is due earlier.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn a_delay_ends_on_time_for_consumers_that_wait() {
    let queue = RedisQueue::new(&client(), fresh_name()).wait(PATIENCE).lease(PATIENCE * 20);
    let mut consumer = consumer(&queue).await;
    let waiting = tokio::spawn(async move { take(&mut consumer, 1).await });
    sleep(SECOND / 5).await;
    let mut message = Message::new("x");
    message.set_delay(SECOND / 2);

    let sent = Instant::now();
    queue.topic().publish(message).await.unwrap();
    let depth = queue.depth().await.unwrap();
    let delivery = waiting.await.unwrap();

    assert_eq!((depth.ready, depth.in_flight), (0, 0), "what wakes a consumer is no message");
    assert!(sent.elapsed() >= SECOND / 2, "after {:?}", sent.elapsed());
    assert!(sent.elapsed() < SECOND * 4, "it was looked for only by and by: {:?}", sent.elapsed());
    ack(&queue, &delivery[0]).await;
    assert_eq!(queue.depth().await.unwrap(), chappe_core::backend::Depth::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn purging_leaves_what_is_out() {
    let queue = RedisQueue::new(&client(), fresh_name());
    publish_numbers(&queue, 700).await;
    let mut delayed = Message::new("x");
    delayed.set_delay(PATIENCE);
    queue.topic().publish(delayed).await.unwrap();
    let mut consumer = consumer(&queue).await;
    let held = take(&mut consumer, 3).await;

    let removed = queue.purge().await.unwrap();
    let depth = queue.depth().await.unwrap();

    assert_eq!(removed, 698);
    assert_eq!((depth.ready, depth.delayed, depth.in_flight), (0, 0, 3));
    for delivery in &held {
        ack(&queue, delivery).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn a_wrong_password_ends_serving_and_is_not_told() {
    let url = format!("redis://nobody:s3cret@{}?queue={}", address(), fresh_name());
    let queue = RedisQueue::from_url(&url).unwrap();

    let served = Server::new(queue.clone()).serve(service_fn(async |_: Message| Ok::<_, BoxError>(())));
    let error = timeout(PATIENCE, served).await.unwrap().expect_err("nobody is let in");
    let published = queue.topic().publish("x").await.expect_err("nobody is let in");

    assert_eq!(published.kind(), ErrorKind::PermissionDenied);
    let told = format!("{error} {error:?} {published} {published:?} {queue:?} {:?}", queue.topic());
    assert!(!told.contains("s3cret"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn a_key_of_another_type_ends_serving_with_what_to_do() {
    let name = fresh_name();
    run(&client(), cmd("SET").arg(format!("{{{name}}}:s")).arg("x")).await;
    let queue = RedisQueue::new(&client(), name);

    let consumed = queue.consume(ConsumeOptions::new(StopToken::never(), 1.try_into().unwrap())).await;

    let error = consumed.expect_err("the stream is a string");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("choose another name"), "{error}");
}

/// Jepsen's total queue: what was accepted is handled, and what was not is not made up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn nothing_accepted_is_lost_while_the_server_is_killed_again_and_again() {
    const COUNT: usize = 3_000;
    let server = Own::start(true).await;
    let queue = RedisQueue::new(&client_of(server.address()), fresh_name()).lease(SECOND * 3);
    let seen: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let log = Arc::clone(&seen);
    let handler = service_fn(move |message: Message| {
        let log = Arc::clone(&log);
        async move {
            *log.lock().unwrap().entry(body(&message)).or_default() += 1;
            if message.attempt() == 1 && message.body().ends_with(b"7") {
                Err(BoxError::from("not yet"))
            } else {
                Ok(())
            }
        }
    });
    let serving = Server::new(queue.clone()).concurrency(32);
    let handle = serving.handle();
    let task = tokio::spawn(async move { serving.serve(handler).await });
    let topic = queue.publisher().topic().timeout(PATIENCE).max_pending(64);
    let publishing = tokio::spawn(async move {
        topic
            .publish_all((0..COUNT).map(|number| {
                let mut message = Message::new(number.to_string());
                // So that what may have been published is published again, and is still one message.
                message.set_id(number.to_string());
                message
            }))
            .await
    });

    for _ in 0..3 {
        sleep(SECOND / 4).await;
        server.kill();
        sleep(SECOND / 10).await;
        server.revive().await;
    }
    let published = publishing.await.unwrap();
    let accepted: Vec<_> = (0..COUNT).filter(|number| published[*number].is_ok()).collect();
    let drained = timeout(PATIENCE * 2, async {
        loop {
            let depth = queue.depth().await.unwrap_or_default();
            let all = accepted.iter().all(|number| seen.lock().unwrap().contains_key(&number.to_string()));
            if all && (depth.ready, depth.delayed, depth.in_flight) == (0, 0, 0) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    handle.shutdown();
    let report = timeout(PATIENCE, task).await.unwrap().unwrap();

    let missing: Vec<_> =
        accepted.iter().filter(|number| !seen.lock().unwrap().contains_key(&number.to_string())).collect();
    assert!(missing.is_empty(), "accepted and never handled: {missing:?}");
    drained.unwrap_or_else(|_| panic!("something stays in the queue; {report:?}"));
    assert!(accepted.len() > COUNT / 2, "only {} were accepted", accepted.len());
}
