use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chappe::memory::MemoryQueue;
use chappe::testing::{Recorder, perform};
use chappe::{BoxError, Message, Outcome, OutcomeError, Topic};
use chappe_middleware::dedup::{AssignKeyLayer, DedupLayer, DedupStore, MemoryStore, Reserve, Token};
use tokio::sync::Notify;
use tokio::time::{advance, sleep};
use tower::{ServiceBuilder, service_fn};
use tower_test::mock;

use crate::kit::{SECOND, Seen, serve, with};

const HOUR: Duration = Duration::from_secs(3600);

fn store() -> MemoryStore {
    MemoryStore::new(1000, HOUR)
}

fn keyed(key: &str) -> Message {
    with("idempotency-key", key)
}

async fn is_reserved(store: &MemoryStore, key: &str) -> Option<Reserve> {
    // Looked at with a reservation that is over at once.
    match store.reserve(key, Duration::ZERO).await.unwrap() {
        Reserve::Reserved(token) => {
            store.abandon(key, token);
            None
        }
        other => Some(other),
    }
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_while_the_first_is_handled_comes_again_when_the_reservation_ends() {
    let store = store();
    let (mut receiver, mut handle) = mock::spawn_layer::<Message, (), _>(DedupLayer::new(store.clone()));
    handle.allow(3);
    assert!(receiver.poll_ready().is_ready());
    let first = tokio::spawn(receiver.call(keyed("a")));
    let (_, respond) = handle.next_request().await.unwrap();

    advance(10 * SECOND).await;
    assert!(receiver.poll_ready().is_ready());
    let second = receiver.call(keyed("a")).await.unwrap();
    respond.send_response(());
    let first = first.await.unwrap().unwrap();
    assert!(receiver.poll_ready().is_ready());
    let third = receiver.call(keyed("a")).await.unwrap();

    assert_eq!((first, second, third), (Outcome::Ack, Outcome::RetryAfter(20 * SECOND), Outcome::Ack));
}

#[tokio::test(start_paused = true)]
async fn only_an_acknowledgement_confirms() {
    for (answer, acked) in [
        (Outcome::Ack, true),
        (Outcome::Retry, false),
        (Outcome::RetryAfter(SECOND), false),
        (Outcome::Throttle(SECOND), false),
        (Outcome::reject("bad"), false),
    ] {
        let (store, same) = (store(), answer.clone());
        let receiver = ServiceBuilder::new()
            .layer(DedupLayer::new(store.clone()))
            .service(service_fn(move |_: Message| std::future::ready(Ok::<_, BoxError>(same.clone()))));

        let _ = perform(receiver, keyed("a")).await;

        assert_eq!(is_reserved(&store, "key/a").await, acked.then_some(Reserve::Confirmed), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_acknowledges_confirms_and_another_releases() {
    for (outcome, held) in [(Outcome::Ack, Some(Reserve::Confirmed)), (Outcome::Retry, None)] {
        let store = store();
        let receiver =
            ServiceBuilder::new().layer(DedupLayer::new(store.clone())).service(service_fn(move |_: Message| {
                std::future::ready(Err::<(), _>(OutcomeError::new(outcome.clone(), "on purpose")))
            }));

        let _ = perform(receiver, keyed("a")).await;

        assert_eq!(is_reserved(&store, "key/a").await, held);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_a_dropped_future_release() {
    let store = store();
    let panics = service_fn(|_: Message| async { if true { panic!("on purpose") } else { Ok::<(), BoxError>(()) } });
    let receiver = ServiceBuilder::new().layer(DedupLayer::new(store.clone())).service(panics);
    let _ = perform(receiver, keyed("a")).await;
    assert_eq!(is_reserved(&store, "key/a").await, None);

    let (mut receiver, mut handle) = mock::spawn_layer::<Message, (), _>(DedupLayer::new(store.clone()));
    handle.allow(1);
    assert!(receiver.poll_ready().is_ready());
    let mut handling = tokio_test::task::spawn(receiver.call(keyed("b")));
    assert!(handling.poll().is_pending());
    assert!(matches!(is_reserved(&store, "key/b").await, Some(Reserve::Taken(_))));

    drop(handling);
    assert_eq!(is_reserved(&store, "key/b").await, None);
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reservation_lasts_as_long_as_the_handling() {
    let store = store();
    let receiver =
        ServiceBuilder::new().layer(DedupLayer::new(store.clone())).service(service_fn(async |_: Message| {
            sleep(HOUR).await;
            Ok::<_, BoxError>(())
        }));

    let handling = tokio::spawn(async move { perform(receiver, keyed("a")).await });
    for _ in 0..100 {
        sleep(35 * SECOND).await;
        assert!(matches!(is_reserved(&store, "key/a").await, Some(Reserve::Taken(_))));
    }
    sleep(200 * SECOND).await;
    handling.await.unwrap().assert_acked();

    assert_eq!(is_reserved(&store, "key/a").await, Some(Reserve::Confirmed));
}

#[tokio::test(start_paused = true)]
async fn a_reservation_ends_no_later_than_the_lease() {
    let store = store();
    let receiver = ServiceBuilder::new()
        .layer(DedupLayer::new(store.clone()))
        .service(service_fn(|_: Message| std::future::pending::<Result<(), BoxError>>()));

    let handling = tokio::spawn(async move { perform(receiver, keyed("a")).lease(5 * SECOND).await });
    tokio::task::yield_now().await;

    let Some(Reserve::Taken(left)) = is_reserved(&store, "key/a").await else { panic!("it is reserved") };
    assert!(left <= 5 * SECOND, "{left:?}");
    handling.abort();
}

#[tokio::test(start_paused = true)]
async fn a_message_published_twice_is_handled_once_through_its_retries() {
    let (queue, seen, dedup) = (MemoryQueue::new("payments"), Seen::default(), DedupLayer::new(store()));
    let duplicates = dedup.duplicates();
    // Two copies of one call, as of a publisher whose receipt was lost.
    let topic = ServiceBuilder::new().layer(AssignKeyLayer::content()).service(queue.topic());
    let mut copy = Message::new("42 EUR");
    topic.publish(copy.clone()).await.unwrap();
    copy.set_id("another id, so that the queue takes it");
    copy.attributes_mut()
        .insert("idempotency-key", queue.messages()[0].attributes().get_str("idempotency-key").unwrap().to_owned());
    topic.publish(copy).await.unwrap();
    topic.publish("43 EUR").await.unwrap();

    let report = serve(&queue, ServiceBuilder::new().layer(dedup).service(seen.failing(2))).await;

    let handled = |body: &str| seen.messages().iter().filter(|message| message.body() == body).count();
    assert_eq!((handled("42 EUR"), handled("43 EUR")), (5, 3), "each copy fails twice, and one is done");
    assert_eq!((report.metrics.acked, duplicates.get()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn the_service_that_is_called_is_the_one_that_was_ready() {
    let receiver = ServiceBuilder::new()
        .layer(DedupLayer::new(store()))
        .layer(tower::limit::ConcurrencyLimitLayer::new(1)) // panics when it is called without being ready
        .service(Seen::default().failing(0));

    perform(receiver.clone(), keyed("a")).await.assert_acked();
    perform(receiver, keyed("b")).await.assert_acked();
}

#[tokio::test(start_paused = true)]
async fn keys_come_from_where_they_were_said_to() {
    let store = store();
    let run = async |layer: DedupLayer<MemoryStore>, message: Message| {
        perform(ServiceBuilder::new().layer(layer).service(Seen::default().failing(0)), message).await.assert_acked();
    };
    let mut received = Message::new("x");
    received.set_id("7");
    received.set_source("jobs");

    run(DedupLayer::new(store.clone()), received).await;
    run(DedupLayer::new(store.clone()).namespace("billing"), keyed("a")).await;
    run(DedupLayer::new(store.clone()).key_attribute("order"), with("order", "9")).await;
    run(DedupLayer::new(store.clone()).key_fn(|_| Some("made".into())), Message::new("x")).await;
    run(DedupLayer::new(store.clone()), Message::new("has no key")).await;

    for key in ["id/jobs/7", "billing/key/a", "key/9", "key/made"] {
        assert_eq!(is_reserved(&store, key).await, Some(Reserve::Confirmed), "{key}");
    }
    assert_eq!(store.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_memory_store_is_bounded_by_count_and_age() {
    let store = MemoryStore::new(2, HOUR);
    let mut tokens = Vec::new();
    for key in ["a", "b", "c"] {
        let Reserve::Reserved(token) = store.reserve(key, SECOND).await.unwrap() else { panic!("it is free") };
        tokens.push((key, token));
    }
    for (key, token) in tokens {
        store.confirm(key, token).await.unwrap();
    }

    assert_eq!(is_reserved(&store, "a").await, None, "the oldest has made room");
    assert_eq!(is_reserved(&store, "c").await, Some(Reserve::Confirmed));
    advance(HOUR).await;
    assert_eq!(is_reserved(&store, "c").await, None);
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stale_token_does_nothing() {
    let store = store();
    let Reserve::Reserved(stale) = store.reserve("a", SECOND).await.unwrap() else { panic!("it is free") };
    advance(SECOND).await;
    let Reserve::Reserved(fresh) = store.reserve("a", 10 * SECOND).await.unwrap() else { panic!("it has ended") };

    assert!(!store.renew("a", stale, HOUR).await.unwrap());
    store.confirm("a", stale).await.unwrap();
    store.release("a", stale).await.unwrap();
    store.abandon("a", stale);

    assert_eq!(is_reserved(&store, "a").await, Some(Reserve::Taken(10 * SECOND)));
    assert!(store.renew("a", fresh, HOUR).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn only_one_of_many_copies_at_once_is_handled() {
    let (handled, go) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
    let (count, wait) = (Arc::clone(&handled), Arc::clone(&go));
    let receiver = ServiceBuilder::new().layer(DedupLayer::new(store())).service(service_fn(move |_: Message| {
        count.fetch_add(1, Ordering::Relaxed);
        let wait = Arc::clone(&wait);
        async move {
            wait.notified().await;
            Ok::<_, BoxError>(())
        }
    }));
    let copies: Vec<_> = (0..20)
        .map(|_| {
            let receiver = receiver.clone();
            tokio::spawn(async move { perform(receiver, keyed("a")).await })
        })
        .collect();

    sleep(SECOND).await;
    go.notify_one();
    let mut acked = 0;
    for copy in copies {
        acked += u32::from(copy.await.unwrap().outcome() == Some(&Outcome::Ack));
    }

    assert_eq!((acked, handled.load(Ordering::Relaxed)), (1, 1));
}

/// A store that fails the first calls of each kind.
#[derive(Clone)]
struct Flaky {
    inner: MemoryStore,
    reserves: Arc<AtomicU32>,
    confirms: Arc<AtomicU32>,
}

impl Flaky {
    fn new(reserves: u32, confirms: u32) -> Self {
        let counter = |count| Arc::new(AtomicU32::new(count));
        Self { inner: store(), reserves: counter(reserves), confirms: counter(confirms) }
    }

    fn fail(counter: &AtomicU32) -> Result<(), BoxError> {
        let left = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map_or(Ok(()), |_| Err("the store is down".into()))
    }
}

impl DedupStore for Flaky {
    async fn reserve(&self, key: &str, time: Duration) -> Result<Reserve, BoxError> {
        Self::fail(&self.reserves)?;
        self.inner.reserve(key, time).await
    }

    async fn renew(&self, key: &str, token: Token, time: Duration) -> Result<bool, BoxError> {
        self.inner.renew(key, token, time).await
    }

    async fn confirm(&self, key: &str, token: Token) -> Result<(), BoxError> {
        Self::fail(&self.confirms)?;
        self.inner.confirm(key, token).await
    }

    async fn release(&self, key: &str, token: Token) -> Result<(), BoxError> {
        self.inner.release(key, token).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_asked_has_the_message_retried_or_handled() {
    let (closed, open) = (Seen::default(), Seen::default());
    let fails = DedupLayer::new(Flaky::new(1, 0));
    let handles = DedupLayer::new(Flaky::new(1, 0)).fail_open();

    let receiver = ServiceBuilder::new().layer(fails).service(closed.failing(0));
    perform(receiver, keyed("a")).await.assert_retried().assert_error("the store is down");
    perform(ServiceBuilder::new().layer(handles).service(open.failing(0)), keyed("a")).await.assert_acked();

    assert_eq!((closed.count(), open.count()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_done_is_acknowledged_even_if_it_cannot_be_remembered() {
    for (failures, held) in [(2, Some(Reserve::Confirmed)), (3, None)] {
        let store = Flaky::new(0, failures);
        let layer = DedupLayer::new(store.clone());

        perform(ServiceBuilder::new().layer(layer).service(Seen::default().failing(0)), keyed("a"))
            .await
            .assert_acked();

        sleep(60 * SECOND).await;
        assert_eq!(is_reserved(&store.inner, "key/a").await, held);
    }
}

#[tokio::test]
async fn a_key_is_assigned_once_and_told_to_the_broker() {
    let sent = Recorder::new();
    let key = |at: usize| sent.messages()[at].attributes().get_str("idempotency-key").unwrap().to_owned();
    let content = ServiceBuilder::new().layer(AssignKeyLayer::content()).service(sent.clone());
    let random = ServiceBuilder::new().layer(AssignKeyLayer::random()).service(sent.clone());
    let mut named = Message::new("x");
    named.set_id("named");
    let mut relayed = Message::new("x");
    relayed.set_id("7");
    relayed.set_source("jobs");

    for message in ["same", "same", "other"] {
        content.publish(message).await.unwrap();
    }
    content.publish(with("a", "bc")).await.unwrap();
    content.publish(with("ab", "c")).await.unwrap();
    for message in ["same".into(), "same".into(), keyed("own"), named, relayed] {
        random.publish(message).await.unwrap();
    }

    assert_eq!(key(0), key(1));
    assert!(key(0) != key(2) && key(3) != key(4) && key(5) != key(6));
    assert_eq!((key(7), key(8), key(9)), ("own".into(), "named".into(), "jobs/7".into()));
    assert_eq!(sent.messages()[0].id().unwrap().to_string(), key(0));
}

#[tokio::test(start_paused = true)]
async fn a_repetition_within_the_layer_has_the_same_key() {
    #[derive(Clone)]
    struct Twice;
    impl<R, E> tower::retry::Policy<Message, R, E> for Twice {
        type Future = std::future::Ready<()>;
        fn retry(&mut self, _: &mut Message, result: &mut Result<R, E>) -> Option<Self::Future> {
            result.is_err().then(|| std::future::ready(()))
        }
        fn clone_request(&mut self, message: &Message) -> Option<Message> {
            Some(message.clone())
        }
    }
    let sent = Recorder::new();
    let topic = ServiceBuilder::new()
        .layer(AssignKeyLayer::random())
        .layer(tower::retry::RetryLayer::new(Twice))
        .service(sent.clone());

    sent.lose_next_receipts(1);
    topic.publish("once").await.unwrap();

    let copies = sent.assert_published(2);
    assert_eq!(copies[0].attributes(), copies[1].attributes());
}
