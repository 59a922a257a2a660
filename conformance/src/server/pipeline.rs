//! Servers that publish, serve several queues, or take messages in batches.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chappe::server::{Backoff, BatchOptions};
use chappe::{BoxError, Error, ErrorKind, Message, Outcome, Server, Topic};
use tokio::task::JoinSet;
use tower::service_fn;

use super::serving::{Log, Serving, receiver, server};
use crate::case::{Case, Stop, Verdict, cases};
use crate::harness::Harness;
use crate::rig::{Bench, check_same, number_of, numbered};

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["server/pipeline":
        a_topic_is_served_as_a_relay,
        what_a_relay_cannot_publish_is_retried,
        a_pipeline_of_three_queues_hands_everything_on,
        several_queues_are_served_by_one_server,
        queues_share_a_server_by_weight,
        a_batch_is_settled_message_by_message,
    ]
}

async fn a_topic_is_served_as_a_relay<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let (from, to) = (bench.open().await?, bench.open().await?);
    let mut message = Message::new("relayed");
    message.attributes_mut().insert("type", "order");
    message.set_key("k");
    from.publish(message.clone()).await;

    let serving = Serving::start(server(from.another_queue().await?), to.topic());
    let delivery = to.tap().await?.one().await;
    serving.stop().await;

    check_same(&delivery.message, &message);
    to.check_attempt(&delivery, 1);
    from.tap().await?.silent().await;
    Ok(())
}

async fn what_a_relay_cannot_publish_is_retried<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let (from, to) = (bench.open().await?, bench.open().await?);
    from.publish("relayed").await;
    let calls = Arc::new(AtomicUsize::new(0));
    let (counter, topic) = (Arc::clone(&calls), to.topic_for_handlers());
    let relay = service_fn(move |message: Message| {
        let call = counter.fetch_add(1, Ordering::SeqCst);
        let topic = topic();
        async move {
            if call < 3 {
                return Err(Error::new(ErrorKind::Unavailable, "the other side is down"));
            }
            publish(topic, message.into_outgoing()).await
        }
    });

    let serving = Serving::start(server(from.another_queue().await?), relay);
    let mut tap = to.tap().await?;
    tap.one().await;
    serving.stop().await;

    assert_eq!(calls.load(Ordering::SeqCst), 4);
    tap.silent().await;
    Ok(())
}

async fn publish<T: Topic>(topic: T, message: Message) -> Result<chappe::Published, Error> {
    topic.publish(message).await
}

/// M9 of go-msg: a table is split into lines, and every line measured.
async fn a_pipeline_of_three_queues_hands_everything_on<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let (tables, lines, answers) = (bench.open().await?, bench.open().await?, bench.open().await?);
    let words = ["foo", "bazz", "quux", "a", "telegraph", "ox", "semaphore"];
    let topic = lines.topic_for_handlers();
    let split = service_fn(move |table: Message| {
        let topic = topic();
        async move {
            let text = String::from_utf8(table.body().to_vec())?;
            let lines: Vec<Message> = text.lines().map(|line| Message::new(line.to_owned())).collect();
            let published = publish_all(topic, lines).await;
            published.into_iter().collect::<Result<Vec<_>, _>>()?;
            Ok::<_, BoxError>(())
        }
    });
    let topic = answers.topic_for_handlers();
    let measure = service_fn(move |line: Message| {
        let topic = topic();
        async move {
            let word = String::from_utf8(line.body().to_vec())?;
            let mut answer = Message::new(word.clone());
            answer.attributes_mut().insert("Length", word.len());
            answer.attributes_mut().insert("Startswith", word[..1].to_owned());
            answer.attributes_mut().insert("Even", if word.len() % 2 == 0 { "true" } else { "false" });
            publish(topic, answer).await?;
            Ok::<_, BoxError>(())
        }
    });
    let first = Serving::start(server(tables.another_queue().await?), split);
    let second = Serving::start(server(lines.another_queue().await?), measure);

    tables.publish(words.join("\n")).await;
    let got = answers.tap().await?.take(words.len()).await;
    first.stop().await;
    second.stop().await;

    for delivery in got {
        let word = std::str::from_utf8(delivery.message.body()).expect("the words are text").to_owned();
        assert!(words.contains(&word.as_str()), "{word:?}");
        assert_eq!(delivery.message.attributes().get_str("length"), Some(word.len().to_string().as_str()));
        assert_eq!(delivery.message.attributes().get_str("startswith"), Some(&word[..1]));
    }
    Ok(())
}

async fn publish_all<T: Topic>(topic: T, messages: Vec<Message>) -> Vec<Result<chappe::Published, Error>> {
    topic.publish_all(messages).await
}

async fn several_queues_are_served_by_one_server<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let (one, other) = (bench.open().await?, bench.open().await?);
    one.publish_all(numbered(0..50)).await;
    other.publish_all(numbered(50..60)).await;
    let log = Log::new();
    let receiver = receiver(&log, async |log, message: Message| {
        log.note(number_of(&message));
        Ok(Outcome::Ack)
    });
    let queues = [(one.another_queue().await?, 1), (other.another_queue().await?, 3)];
    let serving = Serving::start(Server::weighted(queues).concurrency(4), receiver);

    log.wait(60, one.timing.patience).await;
    let report = serving.stop().await;

    assert_eq!(report.metrics.acked, 60);
    one.tap().await?.silent().await;
    other.tap().await?.silent().await;
    Ok(())
}

/// W1 of go-msg: while both have messages, each has its share.
async fn queues_share_a_server_by_weight<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    const EACH: usize = 300;
    let (one, other) = (bench.open().await?, bench.open().await?);
    one.publish_all(numbered(0..EACH)).await;
    other.publish_all(numbered(EACH..2 * EACH)).await;
    let log = Log::new();
    let receiver = receiver(&log, async |log, message: Message| {
        tokio::time::sleep(Duration::from_millis(5)).await;
        log.note(number_of(&message));
        Ok(Outcome::Ack)
    });
    let queues = [(one.another_queue().await?, 3), (other.another_queue().await?, 1)];
    let serving = Serving::start(Server::weighted(queues).concurrency(4), receiver);

    log.wait(EACH, one.timing.patience).await;
    serving.stop().await;

    let share = log.lock()[..EACH].iter().filter(|&&number| number < EACH).count();
    assert!(
        (EACH * 65 / 100..=EACH * 85 / 100).contains(&share),
        "{share} of {EACH} with three quarters of the weight"
    );
    Ok(())
}

/// DESIGN's batch receivers: a result for each, also for the one that failed.
async fn a_batch_is_settled_message_by_message<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..20)).await;
    let log = Log::new();
    let seen = Arc::clone(&log);
    let service = service_fn(move |batch: Vec<Message>| {
        let results: Vec<Result<(), BoxError>> = batch
            .iter()
            .map(|message| {
                let number = number_of(message);
                let first = !seen.lock().contains(&number);
                seen.note(number);
                if first && number % 4 == 0 { Err("not yet".into()) } else { Ok(()) }
            })
            .collect();
        async move { Ok::<_, Infallible>(results) }
    });
    let server = Server::new(rig.another_queue().await?).backoff(Backoff::none()).concurrency(1);
    let handle = server.handle();
    let mut task = JoinSet::new();
    task.spawn(async move { server.serve_batch(service, BatchOptions::new(8)).await });

    log.wait(25, rig.timing.patience).await;
    handle.shutdown();
    let ended = task.join_next().await.expect("the task was spawned").expect("serving does not panic");
    let report = ended.map_err(|error| Stop::Fail(format!("{error:?}")))?;

    assert_eq!(report.metrics.acked, 20);
    assert_eq!(log.len(), 25);
    rig.tap().await?.silent().await;
    Ok(())
}
