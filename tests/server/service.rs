//! The receiver as a tower service: readiness, clones, and the layers of tower.

use std::collections::HashSet;
use std::future::{Ready, ready};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use chappe::server::State;
use chappe::{BoxError, Message, Receiver, Topic};
use chappe_memory::MemoryQueue;
use tokio::time::{Instant, sleep};
use tower::limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer, RateLimitLayer};
use tower::{Service, ServiceBuilder, service_fn};

use crate::support::*;

/// A service whose readiness is switched.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    fn open(&self) {
        let mut gate = self.0.lock().unwrap();
        gate.0 = true;
        gate.1.drain(..).for_each(Waker::wake);
    }
}

impl Service<Message> for Gate {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let mut gate = self.0.lock().unwrap();
        if gate.0 {
            return Poll::Ready(Ok(()));
        }
        gate.1.push(cx.waker().clone());
        Poll::Pending
    }

    fn call(&mut self, _: Message) -> Self::Future {
        ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_is_waited_for_without_losing_the_message() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 3).await;
    let gate = Gate::default();
    let served = spawn(server(queue.clone()), gate.clone());
    sleep(10 * MINUTE).await;
    assert_eq!((queue.len(), served.handle.metrics().processed), (3, 0));

    gate.open();
    sleep(SECOND).await;

    let report = served.stop().await.unwrap();
    assert_eq!((report.metrics.acked, report.metrics.leases_lost), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_becomes_ready_does_not_hold_up_the_shutdown() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 3).await;

    let report = serve_for(server(queue.clone()), SECOND, Gate::default()).await;

    assert_eq!((report.drain, report.metrics.released, report.metrics.processed), (Duration::ZERO, 3, 0));
}

/// Every clone fails to become ready once, and must not be used after.
#[derive(Default)]
struct Brittle {
    clones: Arc<AtomicUsize>,
    misused: Arc<AtomicUsize>,
    good_from: usize,
    number: usize,
    failed: bool,
    panics: bool,
}

impl Clone for Brittle {
    fn clone(&self) -> Self {
        let number = self.clones.fetch_add(1, Relaxed) + 1;
        let (clones, misused) = (Arc::clone(&self.clones), Arc::clone(&self.misused));
        Self { clones, misused, number, failed: false, good_from: self.good_from, panics: self.panics }
    }
}

impl Service<Message> for Brittle {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.failed {
            self.misused.fetch_add(1, Relaxed);
        }
        if self.number >= self.good_from {
            return Poll::Ready(Ok(()));
        }
        self.failed = true;
        assert!(!self.panics, "in poll_ready");
        Poll::Ready(Err("broken".into()))
    }

    fn call(&mut self, _: Message) -> Self::Future {
        ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_clone_that_fails_to_become_ready_is_replaced_and_not_used_again() {
    for panics in [false, true] {
        let queue = MemoryQueue::new("jobs");
        publish_numbers(&queue, 3).await;
        let brittle = Brittle { good_from: 4, panics, ..Brittle::default() };
        let misused = Arc::clone(&brittle.misused);

        let report = serve_for(server(queue.clone()).concurrency(1), MINUTE, brittle).await;

        assert_eq!((report.metrics.acked, report.metrics.retried), (3, 0));
        assert_eq!(misused.load(Relaxed), 0, "after a failure a service is at its end");
    }
}

/// Counts calls of clones that were not made ready before.
struct Strict {
    ready: bool,
    unready_calls: Arc<AtomicUsize>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false, unready_calls: Arc::clone(&self.unready_calls) }
    }
}

impl Service<Message> for Strict {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Message) -> Self::Future {
        if !std::mem::take(&mut self.ready) {
            self.unready_calls.fetch_add(1, Relaxed);
        }
        ready(if message.attempt() == 1 { Err("once".into()) } else { Ok(()) })
    }
}

#[tokio::test(start_paused = true)]
async fn every_call_is_preceded_by_readiness() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 500).await;
    let unready_calls = Arc::new(AtomicUsize::new(0));

    let strict = Strict { ready: false, unready_calls: Arc::clone(&unready_calls) };
    let report = serve_for(server(queue.clone()), MINUTE, strict).await;

    assert_eq!((unready_calls.load(Relaxed), report.metrics.acked, report.metrics.processed), (0, 500, 1000));
}

#[tokio::test(start_paused = true)]
async fn two_servers_share_a_concurrency_limit_without_starving_each_other() {
    let (one, two) = (MemoryQueue::new("one"), MemoryQueue::new("two"));
    let limit = GlobalConcurrencyLimitLayer::new(2);
    let (running, seen) = (Gauge::default(), Seen::default());
    let receiver = || {
        let (gauge, log) = (running.clone(), seen.clone());
        ServiceBuilder::new().layer(limit.clone()).service(service_fn(move |message: Message| {
            let entered = gauge.enter();
            log.note(&message);
            async move {
                let _entered = entered;
                sleep(SECOND).await;
                Ok::<_, BoxError>(())
            }
        }))
    };
    let (first, second) = (spawn(server(one.clone()), receiver()), spawn(server(two.clone()), receiver()));

    // The first is busy first, and then idle; an idle worker must not sit on a permit.
    publish_numbers(&one, 4).await;
    sleep(10 * SECOND).await;
    assert!(one.is_empty());
    publish_numbers(&two, 10).await;
    sleep(5 * SECOND + SECOND / 2).await;
    assert!(two.is_empty(), "ten in five seconds, two at a time");

    publish(&one, (0..20).map(|number| format!("one {number}"))).await;
    publish(&two, (0..20).map(|number| format!("two {number}"))).await;
    let before = seen.count();
    sleep(11 * SECOND).await;
    let shared = seen.bodies().split_off(before);
    let of_one = shared.iter().filter(|body| body.starts_with("one")).count();
    assert!((5..=17).contains(&of_one), "{of_one} of {} went to the first", shared.len());

    sleep(MINUTE).await;
    let acked = first.stop().await.unwrap().metrics.acked + second.stop().await.unwrap().metrics.acked;
    assert_eq!((acked, running.most()), (54, 2));
}

#[tokio::test(start_paused = true)]
async fn a_limit_per_clone_of_the_layer_holds_for_all_workers() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 12).await;
    let running = Gauge::default();

    let gauge = running.clone();
    let limited = ServiceBuilder::new().layer(ConcurrencyLimitLayer::new(3)).service(service_fn(move |_: Message| {
        let entered = gauge.enter();
        async move {
            let _entered = entered;
            sleep(SECOND).await;
            Ok::<_, BoxError>(())
        }
    }));
    let report = serve_for(server(queue), MINUTE, limited).await;

    assert_eq!((report.metrics.acked, running.most()), (12, 3));
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_behind_a_buffer_is_kept() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 30).await;
    let (seen, start) = (Seen::default(), Instant::now());

    let log = seen.clone();
    let limited = ServiceBuilder::new().buffer(8).layer(RateLimitLayer::new(5, SECOND)).service(service_fn(
        move |message: Message| {
            log.note(&message);
            ready(Ok::<_, BoxError>(()))
        },
    ));
    let report = serve_for(server(queue.clone()), MINUTE, limited).await;

    assert_eq!((report.metrics.acked, report.metrics.retried), (30, 0));
    let times = seen.times(start);
    assert!(times.windows(6).all(|six| six[5] - six[0] >= SECOND), "{times:?}");
    assert!(*times.last().unwrap() <= 6 * SECOND, "and is used to the full: {times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_a_receiver() {
    let (from, to) = (MemoryQueue::new("from"), MemoryQueue::new("to"));
    let mut message = keyed("k", "x");
    message.attributes_mut().insert("type", "order");
    from.topic().publish(message).await.unwrap();

    let report = serve_for(server(from.clone()), SECOND, to.topic()).await;

    assert_eq!((report.metrics.acked, from.len()), (1, 0));
    let relayed = to.messages().remove(0);
    assert_eq!((text(&relayed), relayed.attempt()), ("x".to_owned(), 0));
    assert_eq!(relayed.attributes().get("type").and_then(|value| value.as_str()), Some("order"));
    assert_eq!(relayed.key().and_then(chappe::Key::as_str), Some("k"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_run_on_all_cores() {
    let queue = MemoryQueue::new("jobs");
    publish_numbers(&queue, 2).await;
    // Each blocks its thread until the other runs, too.
    let both = Arc::new(Barrier::new(2));
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let server = server(queue.clone());
    let handle = server.handle();

    let used = Arc::clone(&threads);
    let report = server
        .serve(service_fn(move |_: Message| {
            let (both, used, handle) = (Arc::clone(&both), Arc::clone(&used), handle.clone());
            async move {
                tokio::task::yield_now().await;
                both.wait();
                used.lock().unwrap().insert(thread::current().id());
                handle.shutdown();
                Ok::<_, BoxError>(())
            }
        }))
        .await
        .unwrap();

    assert_eq!((report.metrics.acked, threads.lock().unwrap().len()), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_does_not_stop_its_neighbours() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["blocks"]).await;
    let (unblock, blocked) = std::sync::mpsc::sync_channel::<()>(0);
    let blocked = Arc::new(Mutex::new(blocked));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let served = spawn(
        server(queue.clone()),
        service_fn(move |message: Message| {
            tell.send(text(&message)).unwrap();
            if text(&message) == "blocks" {
                let _ = blocked.lock().unwrap().recv();
            }
            ready(Ok::<_, BoxError>(()))
        }),
    );
    assert_eq!(told.recv().await.as_deref(), Some("blocks"));

    publish_numbers(&queue, 1000).await;
    for _ in 0..1000 {
        assert!(told.recv().await.is_some());
    }

    assert_eq!(served.handle.state(), State::Serving);
    unblock.send(()).unwrap();
    assert_eq!(served.stop().await.unwrap().metrics.acked, 1001);
}

fn _any_layered_service_is_a_receiver() -> impl Receiver {
    ServiceBuilder::new().map_request(|message: Message| message).concurrency_limit(1).service(Gate::default())
}
