//! Metrics of the `metrics` crate.

use std::collections::BTreeMap;
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use chappe::{BoxError, Error, ErrorKind, Message, Outcome, Published, Server, Topic};
use chappe_memory::MemoryQueue;
use chappe_middleware::metrics::name::*;
use chappe_middleware::metrics::{MeasurePublishLayer, MeasureReceiveLayer};
use metrics::{Unit, set_default_local_recorder};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tokio::time::{advance, sleep};
use tower::{Layer, Service, service_fn};
use tower_test::mock;

use crate::support::*;

/// A metric of a recorder.
#[derive(Clone, Debug)]
struct Metric {
    labels: BTreeMap<String, String>,
    unit: Option<Unit>,
    value: Vec<f64>,
}

impl Metric {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// What became of the messages, and the error.
    fn end(&self) -> (Option<&str>, Option<&str>) {
        (self.label("chappe.outcome"), self.label("error.type"))
    }
}

/// What a recorder has at one time. Looking takes it out: gauges and counters begin again at zero.
struct Look(Vec<(String, Metric)>);

impl Look {
    fn at(metrics: &Snapshotter) -> Self {
        let all = metrics.snapshot().into_vec().into_iter().map(|(key, unit, _, value)| {
            let (_, key) = key.into_parts();
            let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned())).collect();
            let value = match value {
                DebugValue::Counter(count) => vec![count as f64],
                DebugValue::Gauge(value) => vec![value.into_inner()],
                DebugValue::Histogram(values) => values.into_iter().map(f64::from).collect(),
            };
            (key.name().to_owned(), Metric { labels, unit, value })
        });
        Self(all.collect())
    }

    /// All metrics of a name, in the order of their labels.
    fn all(&self, name: &str) -> Vec<&Metric> {
        let mut found: Vec<_> = self.0.iter().filter(|(have, _)| have == name).map(|(_, metric)| metric).collect();
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        found
    }

    fn only(&self, name: &str) -> &Metric {
        let found = self.all(name);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        found[0]
    }
}

#[tokio::test(start_paused = true)]
async fn publishing_is_counted_and_timed() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let _installed = set_default_local_recorder(&recorder);
    let layer = MeasurePublishLayer::new("memory").destination("orders");
    let in_flight = layer.in_flight();
    let (mut topic, mut handle) = mock::spawn_layer::<Message, Published, _>(layer);

    assert!(topic.poll_ready().is_ready());
    let call = topic.call(Message::new("x"));
    assert_eq!(in_flight.messages(), 1);
    advance(Duration::from_millis(30)).await;
    let (_, respond) = handle.next_request().await.unwrap();
    respond.send_response(Published::default());
    call.await.unwrap();

    let look = Look::at(&metrics);
    let sent = look.only(SENT_MESSAGES);
    let labels: Vec<_> = sent.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected = [
        ("messaging.destination.name", "orders"),
        ("messaging.operation.name", "send"),
        ("messaging.system", "memory"),
    ];
    assert_eq!((labels.as_slice(), &*sent.value), (&expected[..], &[1.0][..]));
    assert_eq!(look.only(PUBLISH_IN_FLIGHT).value, [0.0]);
    assert_eq!(look.only(PUBLISH_DURATION).value, [0.03]);
}

#[tokio::test(start_paused = true)]
async fn durations_are_in_seconds_and_say_so() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let _installed = set_default_local_recorder(&recorder);
    let mut receiver = MeasureReceiveLayer::new("memory").layer(service_fn(async |_: Message| {
        sleep(Duration::from_millis(250)).await;
        Ok::<_, BoxError>(())
    }));

    receiver.call(Message::new("x")).await.unwrap();

    let look = Look::at(&metrics);
    let duration = look.only(PROCESS_DURATION);
    assert_eq!((&*duration.value, duration.unit), (&[0.25][..], Some(Unit::Seconds)));
}

#[tokio::test]
async fn a_publisher_that_fails_is_counted_with_the_kind_of_its_error() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let _installed = set_default_local_recorder(&recorder);
    let queue = MemoryQueue::new("orders");
    let topic = MeasurePublishLayer::new("memory").layer(queue.topic());
    queue.shut();

    let result = topic.publish("late").await;

    assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed, "the kind comes through");
    assert_eq!(Look::at(&metrics).only(SENT_MESSAGES).end(), (None, Some("closed")));
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_counted_by_what_became_of_it() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let _installed = set_default_local_recorder(&recorder);
    let (queue, _dead) = MemoryQueue::with_dead_letter("orders");
    for body in ["good", "flaky", "absurd"] {
        queue.topic().publish(body).await.unwrap();
    }
    let handler = service_fn(|message: Message| {
        ready(match (&message.body()[..], message.attempt()) {
            (b"flaky", 1) => Err(BoxError::from(Error::new(ErrorKind::Unavailable, "not yet"))),
            (b"flaky", 2) => panic!("not yet either"),
            (b"absurd", _) => Ok(Outcome::reject("makes no sense")),
            _ => Ok(Outcome::Ack),
        })
    });

    let report = serve(&queue, MeasureReceiveLayer::new("memory").layer(handler)).await;

    let look = Look::at(&metrics);
    let consumed = look.all(CONSUMED_MESSAGES);
    let counts: Vec<_> = consumed.iter().map(|metric| (metric.end(), metric.value[0])).collect();
    let expected = [
        ((Some("ack"), None), 2.0),
        ((Some("reject"), Some("reject")), 1.0),
        ((Some("retry"), Some("panic")), 1.0),
        ((Some("retry"), Some("unavailable")), 1.0),
    ];
    assert_eq!(counts, expected);
    assert!(consumed.iter().all(|metric| metric.label("messaging.destination.name") == Some("orders")));
    let attempts = look.all(PROCESS_ATTEMPTS);
    let acked = attempts.iter().find(|metric| metric.end() == (Some("ack"), None)).unwrap();
    assert_eq!(acked.value.iter().sum::<f64>(), 4.0, "one at the first attempt, one at the third");
    assert_eq!(look.only(PROCESS_IN_FLIGHT).value, [0.0]);
    assert_eq!((report.metrics.acked, report.metrics.panics), (2, 1), "the server sees the same");
}

#[tokio::test]
async fn nothing_stays_in_flight_when_futures_are_dropped_or_panic() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let _installed = set_default_local_recorder(&recorder);
    let layer = MeasureReceiveLayer::new("memory");
    let in_flight = layer.in_flight();
    let mut waits = layer.layer(service_fn(|_: Message| std::future::pending::<Result<(), BoxError>>()));
    let mut panics = layer.layer(service_fn(async |_: Message| -> Result<(), BoxError> { panic!("on purpose") }));

    let waiting = waits.call(Message::new("x"));
    let mut panicking = Box::pin(panics.call(Message::new("x")));
    assert_eq!(in_flight.messages(), 2);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(catch_unwind(AssertUnwindSafe(|| panicking.as_mut().poll(&mut cx))).is_err());
    drop((waiting, panicking));

    let look = Look::at(&metrics);
    assert_eq!((in_flight.messages(), &*look.only(PROCESS_IN_FLIGHT).value), (0, &[0.0][..]));
    let consumed = look.all(CONSUMED_MESSAGES);
    let ends: Vec<_> = consumed.iter().map(|metric| metric.end()).collect();
    assert_eq!(ends, [(Some("dropped"), Some("cancelled")), (Some("retry"), Some("panic"))]);
}

#[tokio::test(start_paused = true)]
async fn the_age_of_the_oldest_grows_while_a_handler_hangs() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let _installed = set_default_local_recorder(&recorder);
    let layer = MeasureReceiveLayer::new("memory");
    let in_flight = layer.in_flight();
    let mut receiver = layer.layer(service_fn(async |message: Message| {
        sleep(Duration::from_secs(if message.body() == "slow" { 90 } else { 1 })).await;
        Ok::<_, BoxError>(())
    }));

    let slow = tokio::spawn(receiver.call(Message::new("slow")));
    advance(Duration::from_secs(10)).await;
    receiver.call(Message::new("quick")).await.unwrap();
    assert_eq!(Look::at(&metrics).only(PROCESS_OLDEST_AGE).value, [11.0], "told when another ends");
    advance(Duration::from_secs(50)).await;
    in_flight.report();
    assert_eq!(Look::at(&metrics).only(PROCESS_OLDEST_AGE).value, [61.0], "told when asked");
    assert_eq!(in_flight.oldest_age(), Some(Duration::from_secs(61)));
    slow.await.unwrap().unwrap();

    assert_eq!(Look::at(&metrics).only(PROCESS_OLDEST_AGE).value, [0.0]);
    assert_eq!(in_flight.oldest_age(), None);
}

#[tokio::test]
async fn each_message_of_a_batch_is_counted_by_its_own_result() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let _installed = set_default_local_recorder(&recorder);
    let layer = MeasureReceiveLayer::new("memory");
    let in_flight = layer.in_flight();
    let mut receiver = layer.layer(service_fn(|_: Vec<Message>| {
        ready(Ok::<_, BoxError>(vec![Ok(Outcome::Ack), Err(BoxError::from("bad"))]))
    }));

    let call = receiver.call(vec![Message::new("1"), Message::new("2"), Message::new("unanswered")]);
    assert_eq!(in_flight.messages(), 3);
    call.await.unwrap();

    let look = Look::at(&metrics);
    let consumed = look.all(CONSUMED_MESSAGES);
    let ends: Vec<_> = consumed.iter().filter(|metric| metric.value[0] > 0.0).map(|metric| metric.end()).collect();
    assert_eq!(ends, [(Some("ack"), None), (Some("retry"), Some("_OTHER")), (Some("retry"), Some("retry"))]);
    let durations = look.all(PROCESS_DURATION);
    let calls: Vec<_> = durations.iter().map(|metric| (metric.end(), metric.value.len())).collect();
    assert_eq!(calls.iter().map(|(_, count)| count).sum::<usize>(), 1);
    assert!(calls.contains(&((Some("retry"), Some("_OTHER")), 1)), "{calls:?}");
    assert_eq!(in_flight.messages(), 0);
}

#[tokio::test]
async fn after_a_hundred_destinations_the_others_are_one() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let _installed = set_default_local_recorder(&recorder);
    let mut receiver = MeasureReceiveLayer::new("memory").layer(service_fn(|_: Message| ready(Ok::<_, BoxError>(()))));

    for customer in 0..150 {
        let mut message = Message::new("x");
        message.set_source(format!("customer-{customer}"));
        receiver.call(message).await.unwrap();
    }

    let look = Look::at(&metrics);
    let consumed = look.all(CONSUMED_MESSAGES);
    assert_eq!(consumed.len(), 101);
    let others = consumed.iter().find(|metric| metric.label("messaging.destination.name") == Some("_OTHER"));
    assert_eq!(others.unwrap().value, [50.0]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_the_server_gives_up_on_is_counted_and_no_longer_in_flight() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let _installed = set_default_local_recorder(&recorder);
    let queue = MemoryQueue::new("orders");
    queue.topic().publish("order 7").await.unwrap();
    let layer = MeasureReceiveLayer::new("memory");
    let in_flight = layer.in_flight();
    let hangs = layer.layer(service_fn(|_: Message| std::future::pending::<Result<(), BoxError>>()));

    let server = Server::new(queue).timeout(Duration::from_secs(5)).grace(Duration::ZERO);
    let result = server.serve(hangs).with_graceful_shutdown(sleep(Duration::from_secs(20))).await;

    let report = result.expect_err("one was being handled at the deadline").into_report();
    let consumed = Look::at(&metrics).only(CONSUMED_MESSAGES).clone();
    assert_eq!(consumed.end(), (Some("dropped"), Some("cancelled")));
    assert_eq!(consumed.value, [(report.metrics.timeouts + report.metrics.aborted) as f64]);
    assert_eq!(in_flight.messages(), 0);
}
