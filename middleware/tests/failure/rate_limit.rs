use std::time::Duration;

use chappe::{BoxError, Message, Topic};
use chappe_memory::MemoryQueue;
use chappe_middleware::rate_limit::RateLimitLayer;
use tokio::task::JoinSet;
use tokio::time::{Instant, advance};
use tower::{Layer, service_fn};

use crate::support::*;

fn one_a_second() -> RateLimitLayer {
    RateLimitLayer::new(1, SECOND)
}

#[tokio::test(start_paused = true)]
async fn a_service_without_a_token_is_woken_when_the_next_is_due() {
    let (mut service, _handle) = stepped(one_a_second());
    let _first = call(&mut service, "a");

    tokio_test::assert_pending!(service.poll_ready::<Message>());
    advance(SECOND - Duration::from_millis(1)).await;
    assert!(!service.is_woken());
    advance(Duration::from_millis(1)).await;

    assert!(service.is_woken());
    tokio_test::assert_ready_ok!(service.poll_ready::<Message>());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_took_is_kept_up_to_the_burst() {
    let (mut service, _handle) = stepped(one_a_second().burst(3));
    let mut ready_calls = || {
        let mut calls = 0;
        while service.poll_ready::<Message>().is_ready() {
            drop(service.call(Message::new("x")));
            calls += 1;
        }
        calls
    };

    assert_eq!(ready_calls(), 3, "it begins full");
    advance(2 * SECOND).await;
    assert_eq!(ready_calls(), 2);
    advance(MINUTE).await;
    assert_eq!(ready_calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn clones_share_the_tokens_and_are_served_in_the_order_they_came() {
    let (service, _handle) = stepped(one_a_second());
    let mut clones: Vec<_> = (0..4).map(|_| service.clone()).collect();
    tokio_test::assert_ready_ok!(clones[0].poll_ready::<Message>());
    drop(clones[0].call(Message::new("x")));
    clones[1..].iter_mut().for_each(|clone| assert!(clone.poll_ready::<Message>().is_pending()));

    for next in 1..4 {
        advance(SECOND).await;
        let late = (next + 1..4).filter(|&other| clones[other].poll_ready::<Message>().is_ready()).count();
        assert_eq!(late, 0, "nobody is overtaken");
        assert!(clones[next].is_woken());
        tokio_test::assert_ready_ok!(clones[next].poll_ready::<Message>());
        drop(clones[next].call(Message::new("x")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_does_not_take_the_token_of_one_who_waits() {
    let (mut service, _handle) = stepped(one_a_second());
    let mut waiting = service.clone();
    let _first = call(&mut service, "a");
    tokio_test::assert_pending!(waiting.poll_ready::<Message>());

    advance(10 * SECOND).await;
    tokio_test::assert_pending!(service.poll_ready::<Message>());
    tokio_test::assert_ready_ok!(waiting.poll_ready::<Message>());

    assert!(service.is_woken(), "its turn is next");
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_service_dropped_without_a_call_goes_to_the_next_at_once() {
    let (mut service, _handle) = stepped(one_a_second());
    let mut next = service.clone();
    tokio_test::assert_ready_ok!(service.poll_ready::<Message>());
    tokio_test::assert_pending!(next.poll_ready::<Message>());

    drop(service);

    assert!(next.is_woken());
    tokio_test::assert_ready_ok!(next.poll_ready::<Message>());
}

#[tokio::test(start_paused = true)]
async fn one_who_leaves_the_line_passes_the_turn_on() {
    let (mut service, _handle) = stepped(one_a_second());
    let (mut second, mut third) = (service.clone(), service.clone());
    let _first = call(&mut service, "a");
    tokio_test::assert_pending!(second.poll_ready::<Message>());
    tokio_test::assert_pending!(third.poll_ready::<Message>());

    drop(second);
    assert!(third.is_woken(), "to see to the timer");
    tokio_test::assert_pending!(third.poll_ready::<Message>());
    advance(SECOND).await;

    assert!(third.is_woken());
    tokio_test::assert_ready_ok!(third.poll_ready::<Message>());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_not_taken_while_the_service_inside_is_not_ready() {
    let (mut service, mut handle) = stepped(one_a_second());
    let mut other = service.clone();
    handle.allow(0);

    tokio_test::assert_pending!(service.poll_ready::<Message>());
    handle.allow(1);

    tokio_test::assert_ready_ok!(other.poll_ready::<Message>());
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_kept_whoever_asks_and_drops_what() {
    let limit = RateLimitLayer::new(10, SECOND).burst(5);
    let receiver = limit.layer(service_fn(async |_: Message| Ok::<_, BoxError>(())));
    let (random, start) = (fastrand::Rng::with_seed(7), Instant::now());
    let (calls, mut tasks) = (Counter::default(), JoinSet::new());

    for _ in 0..20 {
        let (mut random, calls, prototype) = (random.clone(), calls.clone(), receiver.clone());
        random.seed(random.get_seed().wrapping_add(tasks.len() as u64));
        tasks.spawn(async move {
            loop {
                let mut clone = prototype.clone();
                let ready = std::future::poll_fn(|cx| tower::Service::<Message>::poll_ready(&mut clone, cx));
                let patience = Duration::from_millis(random.u64(0..3000));
                if tokio::time::timeout(patience, ready).await.is_ok() && random.bool() {
                    calls.add();
                    tower::Service::call(&mut clone, Message::new("x")).await.unwrap();
                }
                tokio::task::yield_now().await;
                if random.u8(..) < 32 {
                    tokio::time::sleep(Duration::from_millis(random.u64(0..50))).await;
                }
            }
        });
    }
    tokio::time::sleep_until(start + 100 * SECOND).await;
    tasks.shutdown().await;

    let most = 5 + 1000;
    assert!((most - 5..=most).contains(&calls.get()), "{} calls, at most {most}", calls.get());
}

#[tokio::test(start_paused = true)]
async fn a_topic_publishes_at_the_rate() {
    let queue = MemoryQueue::new("jobs");
    let topic = is_topic(RateLimitLayer::new(4, SECOND).layer(queue.topic()));
    let start = Instant::now();

    let results = topic.publish_all(["a", "b", "c", "d", "e"]).await;

    assert!(results.iter().all(Result::is_ok));
    assert_eq!((start.elapsed(), bodies(&queue).join("")), (SECOND, "abcde".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_everybody_has_their_turn() {
    let limit = RateLimitLayer::new(20_000, SECOND).burst(2);
    let receiver = limit.layer(service_fn(async |_: Message| Ok::<_, BoxError>(())));
    let calls = Counter::default();

    let tasks: JoinSet<()> = (0..8)
        .map(|_| {
            let (receiver, calls) = (receiver.clone(), calls.clone());
            async move {
                for call in 0..100 {
                    let mut clone = receiver.clone();
                    std::future::poll_fn(|cx| tower::Service::<Message>::poll_ready(&mut clone, cx)).await.unwrap();
                    // Every third is dropped uncalled.
                    if call % 3 > 0 {
                        tower::Service::call(&mut clone, Message::new("x")).await.unwrap();
                        calls.add();
                    }
                }
            }
        })
        .collect();
    tokio::time::timeout(MINUTE, tasks.join_all()).await.expect("nobody waits for ever");

    assert_eq!(calls.get(), 8 * 66);
}
