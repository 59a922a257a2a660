//! What `Batched` promises, with publishers that fail in every way.

mod support;

use std::time::Duration;

use chappe_core::backend::{Delay, PublishResult};
use chappe_core::{Batched, Error, ErrorKind, Message, Topic};
use futures_util::future::join_all;
use support::{Scripted, accept, denied, keyed, receipt, unavailable};
use tokio::time::{Instant, sleep, timeout};
use tower::{Service, ServiceExt};

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_message_alone_is_published_at_once() {
    let publisher = Scripted::new();
    let topic = Batched::new(publisher.clone());
    let start = Instant::now();

    let published = topic.publish("a").await.unwrap();

    assert_eq!(published, receipt("a"));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(publisher.calls(), [["a"]]);
}

#[tokio::test(start_paused = true)]
async fn what_queues_during_a_call_goes_into_the_next() {
    let publisher = Scripted::with(10 * MS, |_| {});
    let topic = Batched::new(publisher.clone());
    let late = async {
        sleep(MS).await;
        topic.publish_all(["b", "c", "d"]).await
    };

    let (first, rest) = tokio::join!(topic.publish("a"), late);

    assert_eq!(publisher.calls(), [vec!["a"], vec!["b", "c", "d"]]);
    assert_eq!(first.unwrap(), receipt("a"));
    let rest: Vec<_> = rest.into_iter().map(Result::unwrap).collect();
    assert_eq!(rest, ["b", "c", "d"].map(receipt), "each caller gets its own receipt");
}

#[tokio::test(start_paused = true)]
async fn calls_are_split_by_count() {
    let publisher = Scripted::with(MS, |capabilities| capabilities.max_batch = 3);
    let topic = Batched::new(publisher.clone());

    topic.publish_all(["1", "2", "3", "4", "5", "6", "7"]).await;

    let sizes: Vec<_> = publisher.calls().iter().map(Vec::len).collect();
    assert_eq!(sizes, [3, 3, 1]);
}

#[tokio::test(start_paused = true)]
async fn calls_are_split_by_bytes() {
    let publisher = Scripted::with(MS, |capabilities| capabilities.max_batch_bytes = 10);
    let topic = Batched::new(publisher.clone());

    topic.publish_all(["aaaa", "bbbb", "cccc", "a body over ten bytes", "d"]).await;

    assert_eq!(
        publisher.calls(),
        [vec!["aaaa", "bbbb"], vec!["cccc"], vec!["a body over ten bytes"], vec!["d"]],
        "a message that is over the limit by itself goes by itself"
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_fit_is_refused_alone_before_anything_is_sent() {
    let publisher = Scripted::with(MS, |capabilities| capabilities.max_message_bytes = 5);
    let topic = Batched::new(publisher.clone());

    let results = topic.publish_all(["good", "too long", "fine"]).await;

    assert_eq!(results[1].as_ref().unwrap_err().kind(), ErrorKind::TooLarge);
    assert!(results[0].is_ok() && results[2].is_ok());
    assert_eq!(publisher.calls(), [["good", "fine"]]);
}

#[tokio::test(start_paused = true)]
async fn a_delay_the_publisher_does_not_have_is_refused() {
    let topic = Batched::new(Scripted::with(MS, |capabilities| capabilities.delay = Delay::None));
    let mut message = Message::new("later");
    message.set_delay(MS);

    let error = topic.publish(message).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_published_without_what_belongs_to_its_delivery() {
    let publisher = Scripted::new();
    publisher.then(|batch| {
        assert_eq!((batch[0].message.attempt(), batch[0].message.id()), (0, None));
        accept(batch)
    });
    let mut message = Message::new("relayed");
    message.set_attempt(4);
    message.set_id("theirs");

    assert_eq!(Batched::new(publisher).publish(message).await.unwrap(), receipt("relayed"));
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_fails_for_good_does_not_fail_its_neighbours() {
    let publisher = Scripted::new();
    publisher.then(|batch| {
        batch[1].result = PublishResult::Failed(denied());
        accept(batch)
    });
    let topic = Batched::new(publisher.clone());

    let results = topic.publish_all(["a", "b", "c"]).await;

    assert_eq!(results[1].as_ref().unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(results[0].as_ref().unwrap(), &receipt("a"));
    assert_eq!(results[2].as_ref().unwrap(), &receipt("c"));
    assert_eq!(publisher.calls().len(), 1, "what fails for good is not repeated");
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_fails_for_now_is_published_again() {
    let publisher = Scripted::new();
    publisher.then(|batch| {
        batch[1].result = PublishResult::Failed(unavailable());
        accept(batch)
    });
    let topic = Batched::new(publisher.clone());

    let results = topic.publish_all(["a", "b", "c"]).await;

    assert!(results.iter().all(Result::is_ok));
    assert_eq!(publisher.calls(), [vec!["a", "b", "c"], vec!["b"]]);
}

#[tokio::test(start_paused = true)]
async fn a_message_does_not_wait_for_the_retry_of_another() {
    let publisher = Scripted::new();
    publisher.then(|batch| {
        batch[1].result = PublishResult::Failed(unavailable());
        accept(batch)
    });
    let topic = Batched::new(publisher.clone());
    let newcomer = async {
        sleep(MS).await;
        let start = Instant::now();
        topic.publish("c").await.unwrap();
        start.elapsed()
    };

    let (_, waited) = tokio::join!(topic.publish_all(["a", "b"]), newcomer);

    assert_eq!(waited, Duration::ZERO);
    assert_eq!(publisher.calls(), [vec!["a", "b"], vec!["c"], vec!["b"]]);
}

#[tokio::test(start_paused = true)]
async fn entries_a_failed_call_left_pending_are_published_again() {
    let publisher = Scripted::new();
    publisher.then(|batch| {
        accept(&mut batch[..1])?;
        Err(unavailable())
    });
    let topic = Batched::new(publisher.clone());

    let results = topic.publish_all(["a", "b", "c"]).await;

    assert!(results.iter().all(Result::is_ok));
    assert_eq!(publisher.calls(), [vec!["a", "b", "c"], vec!["b", "c"]]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_for_good_fails_what_it_left_pending_with_its_error() {
    let publisher = Scripted::new();
    publisher.then(|_| Err(denied().with_source(std::io::Error::other("no such role"))));
    let topic = Batched::new(publisher.clone());

    let results = topic.publish_all(["a", "b"]).await;

    for error in results.into_iter().map(Result::unwrap_err) {
        assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::PermissionDenied, false));
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no such role");
    }
    assert!(topic.publish("c").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn while_nothing_gets_through_the_pauses_grow_and_new_messages_wait_for_them() {
    let publisher = Scripted::new();
    for _ in 0..4 {
        publisher.then(|_| Err(unavailable()));
    }
    let topic = Batched::new(publisher.clone());
    let newcomers = async {
        for body in ["b", "c", "d", "e"] {
            sleep(5 * MS).await;
            let topic = topic.clone();
            tokio::spawn(async move { topic.publish(body).await });
        }
    };

    let (first, ()) = tokio::join!(topic.publish("a"), newcomers);

    assert!(first.is_ok());
    let times = publisher.times();
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses.len(), 4, "newcomers make no calls of their own");
    let least = [25, 50, 100, 200].map(|ms| ms * MS);
    assert!(pauses.iter().zip(least).all(|(pause, least)| (least..=2 * least + MS).contains(pause)), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn the_pause_the_broker_asks_for_is_kept() {
    let publisher = Scripted::new();
    publisher.then(|_| Err(Error::new(ErrorKind::Throttled, "slow down").with_retry_after(Duration::from_secs(3))));
    let start = Instant::now();

    Batched::new(publisher).publish("a").await.unwrap();

    assert!((3000..3010).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_pause_longer_than_the_time_left_fails_at_once() {
    let publisher = Scripted::new();
    publisher.then(|_| Err(Error::new(ErrorKind::Throttled, "slow down").with_retry_after(Duration::from_secs(60))));
    let start = Instant::now();

    let error = Batched::new(publisher).publish("a").await.unwrap_err();

    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Throttled, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_stays_away_fails_the_message_within_its_time() {
    let publisher = Scripted::new();
    for _ in 0..1000 {
        publisher.then(|_| Err(unavailable()));
    }
    let start = Instant::now();

    let error = Batched::new(publisher.clone()).timeout(Duration::from_secs(5)).publish("a").await.unwrap_err();

    assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Unavailable, false));
    assert!(start.elapsed() <= Duration::from_secs(5));
    assert!((5..20).contains(&publisher.calls().len()), "{} calls", publisher.calls().len());
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_hangs_fails_the_message_in_time_and_ambiguously() {
    let publisher = Scripted::with(Duration::from_secs(3600), |_| {});
    let topic = Batched::new(publisher.clone()).timeout(Duration::from_secs(5));
    let start = Instant::now();

    let error = topic.publish("a").await.unwrap_err();

    assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Timeout, true));
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_never_left_the_queue_times_out_unambiguously() {
    let publisher = Scripted::with(Duration::from_secs(3600), |_| {});
    let topic = Batched::new(publisher.clone()).timeout(Duration::from_secs(5));

    let (_, second) = tokio::join!(topic.publish("a"), async {
        tokio::task::yield_now().await;
        topic.publish("b").await
    });

    let error = second.unwrap_err();
    assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Timeout, false));
    assert_eq!(publisher.calls(), [["a"]]);
}

#[tokio::test(start_paused = true)]
async fn an_ambiguous_failure_is_repeated_only_where_duplicates_are_refused() {
    let fault = |batch: &mut [chappe_core::backend::Outgoing]| {
        batch[0].result = PublishResult::Failed(unavailable().ambiguous());
        Ok(())
    };
    let [plain, dedup, without_id] = [false, true, true].map(|dedup| Scripted::with(MS, |can| can.dedup = dedup));
    let mut message = Message::new("a");
    message.set_id("order-7");

    for publisher in [&plain, &dedup, &without_id] {
        publisher.then(fault);
    }
    let on_plain = Batched::new(plain.clone()).publish(message.clone()).await;
    let on_dedup = Batched::new(dedup.clone()).publish(message).await;
    let on_without_id = Batched::new(without_id.clone()).publish("a").await;

    assert!(on_plain.unwrap_err().is_ambiguous());
    assert_eq!(on_dedup.unwrap(), receipt("a"));
    assert!(on_without_id.unwrap_err().is_ambiguous());
    assert_eq!((plain.calls().len(), dedup.calls().len(), without_id.calls().len()), (1, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_doubt_is_not_forgotten_when_a_retry_is_refused() {
    let publisher = Scripted::with(MS, |capabilities| capabilities.dedup = true);
    publisher.then(|_| Err(unavailable().ambiguous())).then(|_| Err(denied()));
    let mut message = Message::new("a");
    message.set_id("order-7");

    let error = Batched::new(publisher).publish(message).await.unwrap_err();

    assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::PermissionDenied, true));
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_panics_fails_its_messages_and_is_called_again() {
    let publisher = Scripted::new();
    publisher.then(|batch| {
        accept(&mut batch[..1])?;
        panic!("out of luck")
    });
    let topic = Batched::new(publisher);

    let results = topic.publish_all(["a", "b"]).await;
    let after = topic.publish("c").await;

    assert_eq!(results[0].as_ref().unwrap(), &receipt("a"), "what was known before the panic stays known");
    assert!(results[1].as_ref().unwrap_err().is_ambiguous());
    assert_eq!(after.unwrap(), receipt("c"));
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_says_nothing_of_a_message_leaves_it_ambiguous() {
    let publisher = Scripted::new();
    publisher.then(|batch| accept(&mut batch[..1]));

    let results = Batched::new(publisher.clone()).publish_all(["a", "b"]).await;

    assert!(results[0].is_ok());
    assert!(results[1].as_ref().unwrap_err().is_ambiguous());
    assert_eq!(publisher.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_before_its_turn_publishes_nothing() {
    let publisher = Scripted::with(10 * MS, |_| {});
    let topic = Batched::new(publisher.clone());
    let impatient = async {
        sleep(MS).await;
        timeout(MS, topic.publish("b")).await
    };
    let neighbour = async {
        sleep(MS).await;
        topic.publish("c").await
    };

    let (first, impatient, neighbour) = tokio::join!(topic.publish("a"), impatient, neighbour);

    assert!(first.is_ok() && impatient.is_err() && neighbour.is_ok());
    assert_eq!(publisher.calls(), [["a"], ["c"]]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_during_the_call_does_not_disturb_its_neighbours() {
    let publisher = Scripted::with(10 * MS, |_| {});
    let topic = Batched::new(publisher.clone());

    let (impatient, neighbour) = tokio::join!(timeout(MS, topic.publish("a")), topic.publish("b"));

    assert!(impatient.is_err());
    assert_eq!(neighbour.unwrap(), receipt("b"));
    assert_eq!(publisher.calls(), [["a", "b"]]);
}

#[tokio::test(start_paused = true)]
async fn a_full_topic_is_not_ready_and_neither_is_a_clone() {
    let publisher = Scripted::with(10 * MS, |_| {});
    let mut topic = Batched::new(publisher).max_pending(1);

    let first = topic.ready().await.unwrap().call(Message::new("a"));

    assert!(timeout(MS, topic.clone().ready()).await.is_err());
    first.await.unwrap();
    assert!(timeout(MS, topic.ready()).await.is_ok());
    assert!(timeout(MS, topic.clone().ready()).await.is_err(), "the original holds the only place");
}

#[tokio::test(start_paused = true)]
async fn the_pending_bytes_are_limited() {
    let publisher = Scripted::with(10 * MS, |_| {});
    let mut topic = Batched::new(publisher.clone()).max_pending_bytes(5);

    let first = topic.ready().await.unwrap().call(Message::new("123"));
    let second = topic.ready().await.unwrap().call(Message::new("456"));

    assert!(timeout(MS, topic.ready()).await.is_err());
    first.await.unwrap();
    second.await.unwrap();
    for body in ["7", "8", "9"] {
        timeout(MS, topic.ready()).await.expect("there is room again").unwrap().call(Message::new(body)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn flush_waits_for_what_was_accepted_and_not_for_what_comes_later() {
    let publisher = Scripted::with(10 * MS, |_| {});
    let topic = Batched::new(publisher);
    let start = Instant::now();
    let endless = tokio::spawn({
        let topic = topic.clone();
        async move {
            while topic.publish("more").await.is_ok() {
                let _ = topic.publish_all(["and", "more"]).await;
            }
        }
    });
    let mut accepted = topic.clone();
    let call = accepted.ready().await.unwrap().call(Message::new("a"));

    timeout(Duration::from_secs(1), topic.flush()).await.unwrap();

    assert!(start.elapsed() <= 20 * MS);
    assert!(futures_util::FutureExt::now_or_never(call).expect("it has its result").is_ok());
    endless.abort();
}

#[tokio::test(start_paused = true)]
async fn flush_does_not_wait_for_callers_that_have_gone_away() {
    let topic = Batched::new(Scripted::with(10 * MS, |_| {}));
    let mut handle = topic.clone();
    let first = handle.ready().await.unwrap().call(Message::new("a"));
    drop(handle.ready().await.unwrap().call(Message::new("b")));
    drop(first);

    timeout(Duration::from_secs(1), topic.flush()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn there_is_one_call_at_a_time_unless_more_are_allowed() {
    let [one, three] = [(); 2].map(|()| Scripted::with(10 * MS, |capabilities| capabilities.max_batch = 2));
    let bodies = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];

    Batched::new(one.clone()).publish_all(bodies).await;
    Batched::new(three.clone()).max_in_flight(3).publish_all(bodies).await;

    assert_eq!((one.most_running(), three.most_running()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_call_beside_others_is_made_only_when_it_is_full() {
    let publisher = Scripted::with(10 * MS, |capabilities| capabilities.max_batch = 3);
    let topic = Batched::new(publisher.clone()).max_in_flight(8);
    let one_by_one = ["a", "b", "c", "d", "e", "f"].map(|body| {
        let topic = topic.clone();
        async move {
            sleep(MS * u32::from(body.as_bytes()[0] - b'a')).await;
            topic.publish(body).await.unwrap()
        }
    });

    let start = Instant::now();
    join_all(one_by_one).await;

    assert_eq!(publisher.calls(), [vec!["a"], vec!["b", "c", "d"], vec!["e", "f"]]);
    // The last waited for the second call, which began with its third message, though the first was over before.
    assert_eq!(start.elapsed().as_millis(), 3 + 10 + 10);
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_key_are_not_under_way_at_once() {
    let publisher = Scripted::with(10 * MS, |capabilities| capabilities.max_batch = 1);
    let topic = Batched::new(publisher.clone()).max_in_flight(8);
    let start = Instant::now();

    topic.publish_all([keyed("k1", "k"), keyed("k2", "k"), keyed("other", "o"), keyed("k3", "k")]).await;

    assert_eq!(publisher.calls(), [["k1"], ["other"], ["k2"], ["k3"]]);
    assert_eq!(start.elapsed().as_millis() / 10, 3);
}

#[tokio::test(start_paused = true)]
async fn a_retry_holds_back_its_key_and_no_other() {
    let publisher = Scripted::with(Duration::ZERO, |capabilities| capabilities.max_batch = 2);
    publisher.then(|batch| {
        batch[0].result = PublishResult::Failed(unavailable());
        accept(batch)
    });
    let topic = Batched::new(publisher.clone());

    topic.publish_all([keyed("k1", "k"), keyed("o1", "o"), keyed("k2", "k"), keyed("o2", "o")]).await;

    assert_eq!(publisher.calls(), [vec!["k1", "o1"], vec!["o2"], vec!["k1", "k2"]]);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_batches_by_itself_is_called_for_each_message() {
    let publisher = Scripted::with(10 * MS, |capabilities| capabilities.self_batching = true);
    publisher.then(|_| Err(unavailable()));
    let topic = Batched::new(publisher.clone());

    let results = topic.publish_all(["a", "b", "c"]).await;
    topic.flush().await;

    assert!(results.iter().all(Result::is_ok));
    assert_eq!(publisher.calls(), [["a"], ["b"], ["c"], ["a"]]);
    assert_eq!(publisher.most_running(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_direct_call_keeps_its_place_until_it_is_over() {
    let publisher = Scripted::with(10 * MS, |capabilities| capabilities.self_batching = true);
    let mut topic = Batched::new(publisher).max_pending(1);

    let call = topic.ready().await.unwrap().call(Message::new("a"));

    assert!(timeout(MS, topic.ready()).await.is_err());
    drop(call);
    assert!(timeout(MS, topic.ready()).await.is_ok());
    timeout(MS, topic.flush()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_direct_call_that_panics_is_an_ambiguous_error() {
    let publisher = Scripted::with(MS, |capabilities| capabilities.self_batching = true);
    publisher.then(|_| panic!("out of luck"));

    let error = Batched::new(publisher).publish("a").await.unwrap_err();

    assert!(error.is_ambiguous());
}

#[test]
fn a_runtime_that_shuts_down_leaves_nobody_hanging() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let mut topic = Batched::new(Scripted::with(Duration::from_secs(3600), |_| {}));

    let (under_way, queued) = first.block_on(async {
        let under_way = topic.ready().await.unwrap().call(Message::new("a"));
        tokio::task::yield_now().await;
        (under_way, topic.ready().await.unwrap().call(Message::new("b")))
    });
    drop(first);
    let (under_way, queued) = second.block_on(async { (under_way.await, queued.await) });

    let (under_way, queued) = (under_way.unwrap_err(), queued.unwrap_err());
    assert_eq!((under_way.kind(), under_way.is_ambiguous()), (ErrorKind::Unavailable, true));
    assert_eq!((queued.kind(), queued.is_ambiguous()), (ErrorKind::Unavailable, false));
    second.block_on(topic.flush());
}

#[test]
fn outside_of_a_runtime_a_call_is_refused() {
    let mut topic = Batched::new(Scripted::new());

    let ready = futures_util::FutureExt::now_or_never(topic.ready()).unwrap().is_ok();
    let error = futures_util::FutureExt::now_or_never(topic.call(Message::new("a"))).unwrap().unwrap_err();

    assert!(ready);
    assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Unavailable, false));
}
