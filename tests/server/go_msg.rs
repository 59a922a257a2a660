//! What the Go framework promises holds here, and what it got wrong does not happen here.
//!
//! Its in-memory behaviours come first, then its defects. Those that need more room are elsewhere: the
//! shares of several queues in `weighted`, throttling in `throttle`, leases and their renewal in `lease`.

use std::collections::BTreeMap;
use std::future::{IntoFuture, ready};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::server::Backoff;
use chappe::{BoxError, Message, Server, Topic};
use chappe_memory::MemoryQueue;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn three_messages_are_received_one_at_a_time() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 3).await;
    let seen = Seen::default();

    serve_for(server(queue).concurrency(1), MINUTE, notes(&seen, SECOND)).await;

    assert_eq!(seen.bodies(), ["0", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_messages_are_received_ten_at_a_time() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 10_000).await;
    let running = Gauge::default();

    let gauge = running.clone();
    let report = serve_for(
        server(queue.clone()).concurrency(10),
        MINUTE,
        service_fn(move |_: Message| {
            let entered = gauge.enter();
            async move {
                let _entered = entered;
                sleep(Duration::from_millis(1)).await;
                Ok::<_, BoxError>(())
            }
        }),
    )
    .await;

    assert_eq!((report.metrics.acked, running.most(), queue.len()), (10_000, 10, 0));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_fails_ten_times_is_called_eleven_times_within_two_seconds() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["hello"]).await;
    let (seen, start) = (Seen::default(), Instant::now());

    let log = seen.clone();
    let eager = Server::new(queue.clone()).backoff(Backoff::fixed(Duration::from_millis(100)));
    serve_for(
        eager,
        MINUTE,
        service_fn(move |message: Message| {
            log.note(&message);
            ready(if log.count() <= 10 { Err("not yet") } else { Ok(()) })
        }),
    )
    .await;

    assert_eq!(seen.bodies(), ["hello"; 11], "with its body each time, which upstream lost at the second");
    assert!(*seen.times(start).last().unwrap() < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn several_writes_make_one_message_with_its_attributes() {
    let queue = MemoryQueue::new("jobs");

    let mut writer = queue.topic().writer();
    writer.attributes_mut().insert("type", "greeting");
    for part in ["Don't ", "call me ", "junior!"] {
        writer.write_all(part.as_bytes()).unwrap();
    }
    writer.close().await.unwrap();

    assert_eq!(bodies(&queue), ["Don't call me junior!"]);
    assert_eq!(queue.messages()[0].attributes().get("type").and_then(|value| value.as_str()), Some("greeting"));
}

#[tokio::test(start_paused = true)]
async fn a_writer_closed_without_a_write_publishes_an_empty_message() {
    let queue = MemoryQueue::new("jobs");
    queue.topic().writer().close().await.unwrap();
    let seen = Seen::default();

    let report = serve_for(server(queue.clone()), SECOND, notes(&seen, Duration::ZERO)).await;

    // Upstream dropped it in memory, published it elsewhere, and failed on yet another broker.
    assert_eq!((seen.bodies(), report.metrics.acked), (vec![String::new()], 1));
}

#[tokio::test(start_paused = true)]
async fn three_queues_and_two_servers_make_a_pipeline() {
    let [lines, words, facts] = ["lines", "words", "facts"].map(MemoryQueue::new);
    publish(&lines, ["foo,bar,baz", "one,three,four", "five"]).await;
    let (split_to, analysed_to) = (words.topic(), facts.topic());

    let splitter = service_fn(move |message: Message| {
        let topic = split_to.clone();
        async move {
            for word in text(&message).split(',') {
                topic.publish(word.to_owned()).await?;
            }
            Ok::<_, BoxError>(())
        }
    });
    let analyser = service_fn(move |message: Message| {
        let topic = analysed_to.clone();
        async move {
            let word = text(&message);
            let mut fact = Message::new(word.clone());
            fact.attributes_mut().insert("Length", word.len().to_string());
            fact.attributes_mut().insert("StartsWith", word[..1].to_owned());
            topic.publish(fact).await?;
            Ok::<_, BoxError>(())
        }
    });
    tokio::join!(
        serve_for(server(lines).concurrency(1), MINUTE, splitter),
        serve_for(server(words).concurrency(1), MINUTE, analyser),
    );

    assert_eq!(bodies(&facts), ["foo", "bar", "baz", "one", "three", "four", "five"]);
    let three = &facts.messages()[4];
    let fact = |name| three.attributes().get(name).and_then(|value| value.as_str());
    assert_eq!((fact("length"), fact("startswith")), (Some("5"), Some("t")), "found in any case");
}

#[tokio::test(start_paused = true)]
async fn serving_ends_after_the_work_in_flight_and_not_before() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["x"]).await;
    let finished = Arc::new(Mutex::new(false));

    let done = Arc::clone(&finished);
    serve_for(
        server(queue),
        SECOND,
        service_fn(move |_: Message| {
            let done = Arc::clone(&done);
            async move {
                sleep(10 * SECOND).await;
                *done.lock().unwrap() = true;
                Ok::<_, BoxError>(())
            }
        }),
    )
    .await;

    assert!(*finished.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_running_after_the_end_however_it_came() {
    for end in ["shutdown", "deadline", "fatal", "dropped"] {
        let queues = [MemoryQueue::new("one"), MemoryQueue::new("two")];
        for queue in &queues {
            publish_numbers(queue, 20).await;
        }
        let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let both = Server::weighted(queues.clone().map(|queue| (queue, 1))).concurrency(4).grace(10 * SECOND);
        let handle = both.handle();
        let serving = both.serve(takes(if end == "deadline" { 3600 * SECOND } else { 5 * SECOND }));

        let mut serving = Box::pin(serving.into_future());
        tokio::select! {
            _ = &mut serving => unreachable!("nobody has stopped it"),
            () = sleep(SECOND) => {}
        }
        match end {
            "fatal" => {
                queues[1].faults().fail_next_fetches(1, chappe::ErrorKind::NotFound);
                serving.await.unwrap_err();
            }
            "dropped" => drop(serving),
            _ => {
                handle.shutdown();
                let _ = serving.await;
            }
        }
        tokio::task::yield_now().await;

        assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), before, "{end}");
        let left: usize = queues.iter().map(MemoryQueue::len).sum();
        // The fatal fetch is the one after the first four were handled, so four more had begun.
        let handled =
            [("shutdown", 4), ("fatal", 8)].iter().find(|(name, _)| *name == end).map_or(0, |(_, count)| *count);
        assert_eq!(left, 40 - handled, "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_of_several_queues_may_be_shut_down_before_it_is_served() {
    let both = Server::weighted(["one", "two"].map(|name| (MemoryQueue::new(name), 1)));

    both.handle().shutdown();

    assert!(both.serve(never_ends()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn messages_waiting_for_their_turn_reach_a_receiver_or_their_queue_but_never_vanish() {
    let queues = [MemoryQueue::new("one"), MemoryQueue::new("two")];
    for queue in &queues {
        publish_numbers(queue, 50).await;
    }
    let handled: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();

    for _ in 0..20 {
        let counts = Arc::clone(&handled);
        let both = Server::weighted(queues.clone().map(|queue| (queue, 3))).concurrency(2).prefetch(6);
        serve_for(
            both,
            SECOND,
            service_fn(move |message: Message| {
                let name = format!("{}/{}", message.source().unwrap(), text(&message));
                *counts.lock().unwrap().entry(name).or_default() += 1;
                async {
                    sleep(SECOND * 2 / 3).await;
                    Ok::<_, BoxError>(())
                }
            }),
        )
        .await;
    }

    assert!(handled.lock().unwrap().values().all(|count| *count == 1));
    let left: usize = queues.iter().map(MemoryQueue::len).sum();
    assert_eq!(handled.lock().unwrap().len() + left, 100);
    assert!(left < 40, "{left} left");
}
