use std::time::Duration;

use chappe::{BoxError, Error, ErrorKind, Message, Outcome, Published, Topic};
use chappe_middleware::breaker::{BreakerLayer, BreakerState};
use chappe_middleware::catch_panic::CatchPanicLayer;
use tokio::task::JoinSet;
use tokio::time::{Instant, advance};
use tower::load_shed::LoadShedLayer;
use tower::{Layer, ServiceBuilder, service_fn};

use crate::support::*;

const HALF_A_MINUTE: Duration = Duration::from_secs(30);

type Breaker = chappe_middleware::breaker::Breaker<Mock>;

/// Has one call through that is answered with a failure or not.
async fn one(service: &mut Stepped<Breaker>, handle: &mut Handle, outcome: Result<Outcome, &'static str>) {
    let mut calling = call(service, "x");
    let (_, reply) = handle.next_request().await.unwrap();
    match outcome {
        Ok(outcome) => reply.send_response(outcome),
        Err(error) => reply.send_error(error),
    }
    let _ = tokio_test::assert_ready!(calling.poll());
}

/// A breaker that has just opened.
async fn opened() -> (Stepped<Breaker>, Handle, chappe_middleware::breaker::BreakerHandle) {
    let layer = BreakerLayer::consecutive(1).open_for(HALF_A_MINUTE);
    let breaker = layer.handle();
    let (mut service, mut handle) = stepped(layer);
    one(&mut service, &mut handle, Err("down")).await;
    assert_eq!(breaker.state(), BreakerState::Open);
    (service, handle, breaker)
}

#[tokio::test(start_paused = true)]
async fn failures_open_it_and_nothing_goes_through_until_its_time_is_over() {
    let (mut service, _handle, _) = opened().await;

    tokio_test::assert_pending!(service.poll_ready::<Message>());
    advance(HALF_A_MINUTE - Duration::from_millis(1)).await;
    tokio_test::assert_pending!(service.poll_ready::<Message>());
    assert!(!service.is_woken());
    advance(Duration::from_millis(1)).await;

    assert!(service.is_woken(), "by the timer, without polling");
    tokio_test::assert_ready_ok!(service.poll_ready::<Message>());
}

#[tokio::test(start_paused = true)]
async fn one_message_is_tried_across_all_clones_and_its_success_closes_it_for_all() {
    let (service, mut handle, breaker) = opened().await;
    let mut clones: Vec<_> = (0..5).map(|_| service.clone()).collect();
    clones.iter_mut().for_each(|clone| assert!(clone.poll_ready::<Message>().is_pending()));

    advance(HALF_A_MINUTE).await;
    let ready = clones.iter_mut().filter_map(|clone| clone.poll_ready::<Message>().is_ready().then_some(())).count();
    assert_eq!((ready, breaker.state()), (1, BreakerState::HalfOpen));
    let mut probe = spawn_call(&mut clones[0]);
    assert!(clones.iter_mut().all(|clone| clone.poll_ready::<Message>().is_pending()), "the one that called as well");
    handle.next_request().await.unwrap().1.send_response(Outcome::Ack);
    let _ = tokio_test::assert_ready_ok!(probe.poll());

    assert_eq!(breaker.state(), BreakerState::Closed);
    assert!(clones.iter().all(Stepped::is_woken));
    clones.iter_mut().for_each(|clone| assert!(clone.poll_ready::<Message>().is_ready()));
}

fn spawn_call(service: &mut Stepped<Breaker>) -> tokio_test::task::Spawn<<Breaker as tower::Service<Message>>::Future> {
    tokio_test::task::spawn(service.call(Message::new("probe")))
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_opens_it_again_for_as_long() {
    let (mut service, mut handle, breaker) = opened().await;
    let mut other = service.clone();
    tokio_test::assert_pending!(other.poll_ready::<Message>());
    advance(HALF_A_MINUTE).await;

    one(&mut service, &mut handle, Ok(Outcome::Retry)).await;

    assert_eq!(breaker.state(), BreakerState::Open);
    tokio_test::assert_pending!(other.poll_ready::<Message>());
    advance(HALF_A_MINUTE).await;
    assert!(other.is_woken());
    tokio_test::assert_ready_ok!(other.poll_ready::<Message>());
}

#[tokio::test(start_paused = true)]
async fn a_probe_nothing_comes_of_is_left_to_the_next() {
    let (mut service, mut handle, breaker) = opened().await;
    let (mut second, mut third) = (service.clone(), service.clone());
    advance(HALF_A_MINUTE).await;
    tokio_test::assert_ready_ok!(service.poll_ready::<Message>());
    tokio_test::assert_pending!(second.poll_ready::<Message>());

    drop(service); // ready, and not called
    assert!(second.is_woken());
    tokio_test::assert_ready_ok!(second.poll_ready::<Message>());
    tokio_test::assert_pending!(third.poll_ready::<Message>());
    drop(spawn_call(&mut second)); // called, and dropped
    let _dropped = handle.next_request().await;

    assert!(third.is_woken());
    tokio_test::assert_ready_ok!(third.poll_ready::<Message>());
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn a_call_from_before_it_opened_does_not_count_afterwards() {
    let layer = BreakerLayer::consecutive(1).open_for(HALF_A_MINUTE);
    let breaker = layer.handle();
    let (mut service, mut handle) = stepped(layer);
    let mut calls: Vec<_> = (0..3).map(|_| call(&mut service, "x")).collect();
    let mut replies = Vec::new();
    for _ in 0..3 {
        replies.push(handle.next_request().await.unwrap().1);
    }
    let (second, third) = (replies.pop().unwrap(), replies.pop().unwrap());

    replies.pop().unwrap().send_error("down");
    let _ = tokio_test::assert_ready_err!(calls[0].poll());
    advance(HALF_A_MINUTE).await;
    tokio_test::assert_ready_ok!(service.poll_ready::<Message>());
    second.send_response(Outcome::Ack);
    third.send_error("down");
    let _ = (calls[1].poll(), calls[2].poll());

    assert_eq!(breaker.state(), BreakerState::HalfOpen, "only the probe decides");
}

#[tokio::test(start_paused = true)]
async fn rejections_throttling_and_successes_do_not_count_and_retries_do() {
    let layer = BreakerLayer::consecutive(2);
    let breaker = layer.handle();
    let (mut service, mut handle) = stepped(layer);

    for outcome in [Outcome::reject("bad"), Outcome::Throttle(SECOND), Outcome::Ack] {
        one(&mut service, &mut handle, Err("down")).await;
        one(&mut service, &mut handle, Ok(outcome)).await;
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
    one(&mut service, &mut handle, Ok(Outcome::RetryAfter(SECOND))).await;
    one(&mut service, &mut handle, Err("down")).await;

    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_predicate_decides_what_counts() {
    let layer = BreakerLayer::consecutive(1).count_if(|outcome, error| {
        matches!(outcome, Outcome::Reject(_)) || error.is_some_and(|error| error.to_string() == "down")
    });
    let breaker = layer.handle();
    let (mut service, mut handle) = stepped(layer);

    one(&mut service, &mut handle, Err("busy")).await;
    assert_eq!(breaker.state(), BreakerState::Closed);
    one(&mut service, &mut handle, Err("down")).await;
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker.reset();
    one(&mut service, &mut handle, Ok(Outcome::reject("bad"))).await;
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_share_of_failures_opens_it() {
    let layer = BreakerLayer::share(0.5, 10);
    let breaker = layer.handle();
    let (mut service, mut handle) = stepped(layer);

    for number in 0..9 {
        one(&mut service, &mut handle, if number % 2 == 0 { Err("down") } else { Ok(Outcome::Ack) }).await;
        assert_eq!(breaker.state(), BreakerState::Closed, "after {number}");
    }
    one(&mut service, &mut handle, Err("down")).await;

    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_panic_counts_wherever_it_happens() {
    for when in ["call", "poll"] {
        let layer = BreakerLayer::consecutive(1);
        let breaker = layer.handle();
        let receiver = layer.layer(service_fn(move |_: Message| {
            assert!(when != "call");
            async move {
                assert!(when != "poll");
                Ok::<_, BoxError>(())
            }
        }));

        let panicked = answer(&CatchPanicLayer::new().layer(receiver), "x").await;

        assert!(panicked.is_err());
        assert_eq!(breaker.state(), BreakerState::Open, "{when}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_kill_switch_stays_off_until_it_is_reset_and_is_seen_by_all() {
    let layer = BreakerLayer::consecutive(1);
    let breaker = layer.handle();
    let mut watch = breaker.watch();
    let (mut service, _handle) = stepped(layer);
    let mut under_way = call(&mut service, "x");

    breaker.trip();
    tokio_test::assert_pending!(service.poll_ready::<Message>());
    tokio_test::assert_pending!(under_way.poll());
    advance(24 * 60 * MINUTE).await;
    assert!(!service.is_woken());
    assert_eq!((breaker.state(), *watch.borrow_and_update()), (BreakerState::Tripped, BreakerState::Tripped));
    breaker.reset();

    assert!(service.is_woken());
    tokio_test::assert_ready_ok!(service.poll_ready::<Message>());
    at_once(watch.changed()).await.unwrap();
    assert_eq!(*watch.borrow(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_topic_waits_while_it_is_open_or_fails_at_once_behind_a_load_shed() {
    let calls = Counter::default();
    let layer = BreakerLayer::consecutive(2).open_for(HALF_A_MINUTE);
    let flaky = layer.layer(topic(&calls, |call| match call {
        1 | 2 => Err(Error::new(ErrorKind::Unavailable, "down")),
        _ => Ok(Published::default()),
    }));
    let shed = ServiceBuilder::new().layer(LoadShedLayer::new()).service(is_topic(flaky.clone()));
    let start = Instant::now();

    flaky.publish("a").await.unwrap_err();
    flaky.publish("b").await.unwrap_err();
    assert_eq!((shed.publish("c").await.is_err(), start.elapsed()), (true, Duration::ZERO));
    flaky.publish("d").await.unwrap();

    assert_eq!((start.elapsed(), calls.get()), (HALF_A_MINUTE, 3));
}

#[tokio::test(start_paused = true)]
async fn a_clone_that_leaves_the_line_is_not_woken_for_nothing() {
    let (service, _handle, breaker) = opened().await;
    let mut waiting = service.clone();
    tokio_test::assert_pending!(waiting.poll_ready::<Message>());
    assert_eq!(waiting.waker_ref_count(), 3, "itself, the line and the timer");

    let inner = waiting.into_inner();
    drop(inner);
    breaker.reset();

    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_it_opens_and_closes_and_nobody_is_forgotten() {
    let layer = BreakerLayer::consecutive(2).open_for(Duration::from_micros(500));
    let (breaker, calls) = (layer.handle(), Counter::default());
    let count = calls.clone();
    let receiver = layer.layer(service_fn(move |_: Message| {
        let call = count.add();
        async move {
            tokio::task::yield_now().await;
            if call % 5 < 3 { Err(failure("down")) } else { Ok(()) }
        }
    }));

    let tasks: JoinSet<()> = (0..8)
        .map(|task| {
            let receiver = receiver.clone();
            async move {
                for number in 0..50 {
                    let mut clone = receiver.clone();
                    std::future::poll_fn(|cx| tower::Service::<Message>::poll_ready(&mut clone, cx)).await.unwrap();
                    match (task + number) % 7 {
                        0 => {}
                        1 => drop(tower::Service::call(&mut clone, Message::new("dropped"))),
                        _ => drop(tower::Service::call(&mut clone, Message::new("x")).await),
                    }
                }
            }
        })
        .collect();
    tokio::time::timeout(MINUTE, tasks.join_all()).await.expect("nobody waits for ever");

    assert!(calls.get() >= 8 * 35, "{} calls, the last state is {:?}", calls.get(), breaker.state());
}
