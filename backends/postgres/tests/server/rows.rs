//! Faults of the server and of the way there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::{BoxError, Message, Server, Topic};
use chappe_conformance::{Direction, Relay};
use chappe_core::backend::{Action, Backend, Outgoing, PublishResult, Publisher, Queue, SettleResult, Settlement};
use chappe_postgres::{PgQueue, PgStore};
use tokio::time::{Instant, timeout};
use tower::service_fn;

use crate::cluster::Cluster;
use crate::support::{
    PATIENCE, client, client_at, consumer, fresh_name, queue, rows, settle, store, store_at, take, url,
};

/// A queue whose connections go through a relay, and the relay.
async fn relayed() -> (PgQueue, Relay) {
    store().await;
    let url = url();
    let (_, address) = url.split_once('@').expect("the URL has a user");
    let (address, database) = address.split_once('/').expect("the URL has a database");
    let relay = Relay::to(address).await.expect("the relay can listen");
    let store = PgStore::from_url(&format!("postgres://postgres@{}/{database}", relay.addr())).expect("the URL is one");
    (PgQueue::new(&store, fresh_name()), relay)
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_consumer_whose_session_is_terminated_listens_again_and_finds_what_it_missed() {
    let queue = queue().await;
    let client = client().await;
    let mut consumer = consumer(&queue).await;
    let told = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&told);
    let _guard = queue.status().on_reconnect(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let mut health = queue.status().watch();
    let epoch = queue.status().health().epoch;
    let listener = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' || (SELECT chappe.channel($1))";

    let killed = client.execute(listener, &[&queue.name()]).await.unwrap();
    client.execute("SELECT chappe.enqueue($1, 'missed')", &[&queue.name()]).await.unwrap();
    let delivery = take(&mut consumer, 1).await.remove(0);
    timeout(PATIENCE, health.wait_for(|health| health.healthy && health.epoch > epoch)).await.unwrap().unwrap();

    assert_eq!((killed, told.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(delivery.message.body(), "missed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_half_open_connection_is_noticed_and_replaced_and_loses_nothing() {
    let (queue, relay) = relayed().await;
    // What the old connection had asked for is done when it heals, for nobody, and comes back after this.
    let queue = queue.lease(Duration::from_secs(2));
    let mut consumer = consumer(&queue).await;
    let mut health = queue.status().watch();

    relay.blackhole(Direction::Both);
    let since = Instant::now();
    let fetching = tokio::spawn(async move {
        let deliveries = take(&mut consumer, 1).await;
        (deliveries, consumer)
    });
    let noticed = timeout(PATIENCE, health.wait_for(|health| !health.healthy)).await.is_ok();
    let after = since.elapsed();
    client().await.execute("SELECT chappe.enqueue($1, 'x')", &[&queue.name()]).await.unwrap();
    relay.heal().await;
    let (deliveries, _consumer) = fetching.await.unwrap();

    assert!(noticed && after < Duration::from_secs(20), "noticed after {after:?}");
    assert_eq!(deliveries[0].message.body(), "x");
    assert!(matches!(settle(&queue, &deliveries[0], Action::Ack).await, SettleResult::Done));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn an_ack_whose_answer_is_cut_off_is_not_undone_and_its_repetition_is_lost_or_done() {
    let (queue, relay) = relayed().await;
    let client = client().await;
    for body in ["a", "b"] {
        queue.topic().publish(body).await.unwrap();
    }
    let mut consumer = consumer(&queue).await;
    let deliveries = take(&mut consumer, 2).await;
    settle(&queue, &deliveries[1], Action::Retry { delay: Duration::from_secs(60), reason: None }).await;
    drop(consumer);
    let mut batch = [Settlement::new(deliveries[0].receipt.clone(), Action::Ack)];

    // The next byte that comes back is the last.
    relay.cut_after(1, Direction::ToClient);
    let cut = queue.settle(&mut batch).await;
    relay.heal().await;
    let applied = async {
        while rows(&client, queue.name()).await > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, applied).await.unwrap();
    queue.settle(&mut batch).await.unwrap();

    assert!(cut.is_err_and(|error| error.is_retryable()));
    assert!(matches!(batch[0].result, SettleResult::Lost | SettleResult::Done), "{:?}", batch[0].result);
    assert_eq!(rows(&client, queue.name()).await, 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_publish_whose_answer_is_cut_off_is_in_doubt_and_its_id_makes_the_repetition_harmless() {
    let (queue, relay) = relayed().await;
    let client = client().await;
    let publisher = queue.publisher();
    publisher.publish(&mut [Outgoing::new("warm".into()), Outgoing::new("up".into())]).await.unwrap();
    publisher.publish(&mut [Outgoing::new("both".into())]).await.unwrap();
    let mut message = Message::new("once");
    message.set_id("id-1");
    let mut batch = [Outgoing::new(message.clone())];

    relay.cut_after(1, Direction::ToClient);
    publisher.publish(&mut batch).await.unwrap();
    relay.heal().await;
    let PublishResult::Failed(error) = &batch[0].result else { panic!("{:?}", batch[0].result) };
    assert!(error.is_ambiguous() && error.is_retryable(), "{error:?}");
    let mut again = [Outgoing::new(message)];
    while timeout(PATIENCE, publisher.publish(&mut again)).await.unwrap().is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    assert!(matches!(&again[0].result, PublishResult::Accepted(_)), "{:?}", again[0].result);
    let count: i64 = client
        .query_one("SELECT count(*) FROM chappe.message WHERE queue = $1 AND dedup = 'id-1'", &[&queue.name()])
        .await
        .unwrap()
        .get(0);
    assert_eq!(count, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_server_that_crashes_under_load_again_and_again_loses_nothing() {
    let cluster = Cluster::start().await;
    let store = store_at(&cluster.url()).await;
    let queue = PgQueue::new(&store, "load").lease(Duration::from_secs(3));
    let handled: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let seen = Arc::clone(&handled);
    let receiver = service_fn(move |message: Message| {
        let body = String::from_utf8_lossy(message.body()).into_owned();
        *seen.lock().unwrap().entry(body).or_default() += 1;
        async { Ok::<_, BoxError>(()) }
    });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = Server::new(queue.clone()).concurrency(32).serve(receiver).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let serving = tokio::spawn(async move { serving.await });
    let topic = queue.topic();
    let publishing = tokio::spawn(async move {
        let mut accepted = Vec::new();
        for number in 0..6_000 {
            let mut message = Message::new(number.to_string());
            message.set_id(format!("m-{number}"));
            while let Err(error) = topic.publish(message.clone()).await {
                assert!(chappe_core::Error::from_boxed(error).is_retryable());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            accepted.push(number);
        }
        accepted
    });

    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        cluster.crash();
        cluster.again().await;
    }
    let accepted = timeout(PATIENCE, publishing).await.unwrap().unwrap();
    let beside = client_at(&cluster.url()).await;
    let drained = async {
        while rows(&beside, "load").await > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, drained).await.unwrap();
    stop.send(()).unwrap();
    timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();

    let handled = handled.lock().unwrap();
    let lost: Vec<_> = accepted.iter().filter(|number| !handled.contains_key(&number.to_string())).collect();
    assert!(lost.is_empty(), "{} of {} were lost: {lost:?}", lost.len(), accepted.len());
    assert_eq!(handled.len(), accepted.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_process_that_is_killed_with_messages_gives_them_back_after_their_lease() {
    let queue = queue().await.lease(Duration::from_secs(2));
    for number in 0..10 {
        queue.topic().publish(number.to_string()).await.unwrap();
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "rows::hold_messages_until_killed", "--ignored", "--nocapture"])
        .env(HOLD, queue.name())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let client = client().await;
    let leased = async {
        let sql = "SELECT count(*) FROM chappe.message WHERE queue = $1 AND attempts = 1";
        while client.query_one(sql, &[&queue.name()]).await.unwrap().get::<_, i64>(0) < 10 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let leased = timeout(PATIENCE, leased).await;

    child.kill().unwrap();
    child.wait().unwrap();
    leased.unwrap();
    let mut consumer = consumer(&queue).await;
    let deliveries = take(&mut consumer, 10).await;

    assert!(deliveries.iter().all(|delivery| delivery.message.attempt() >= 2));
}

/// Names the queue of which the child takes everything.
const HOLD: &str = "CHAPPE_HOLD";

#[tokio::test]
#[ignore = "is the child of another test, which needs PostgreSQL: run by cargo xtask test"]
async fn hold_messages_until_killed() {
    let Ok(name) = std::env::var(HOLD) else { return };
    let queue = PgQueue::new(&store().await, name).lease(Duration::from_secs(2));
    let mut consumer = consumer(&queue).await;
    let _held = take(&mut consumer, 10).await;
    std::future::pending::<()>().await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn two_consumers_never_hold_one_lease() {
    let queue = queue().await;
    let messages: Vec<Message> = (0..500).map(|number| number.to_string().into()).collect();
    for result in queue.topic().publish_all(messages).await {
        result.unwrap();
    }
    let (mut first, mut second) = (consumer(&queue).await, consumer(&queue).await);

    let (one, other) = tokio::join!(async { take_most(&mut first).await }, async { take_most(&mut second).await });

    let mut ids: Vec<String> = one.into_iter().chain(other).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 500);
}

async fn take_most(consumer: &mut chappe_postgres::PgConsumer) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..25 {
        ids.extend(take(consumer, 10).await.iter().filter_map(|delivery| Some(delivery.message.id()?.to_string())));
    }
    ids
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn an_idle_queue_asks_the_server_about_once_a_second() {
    let (queue, relay) = relayed().await;
    let mut consumer = consumer(&queue).await;
    let idle = tokio::spawn(async move {
        let mut out = Vec::new();
        loop {
            drop(consumer_fetch(&mut consumer, &mut out).await);
        }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = relay.bytes(Direction::ToServer);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let sent = relay.bytes(Direction::ToServer) - before;
    idle.abort();

    // A look is about 200 bytes.
    assert!(sent < 15 * 300, "{sent} bytes in five seconds");
}

async fn consumer_fetch(
    consumer: &mut chappe_postgres::PgConsumer,
    out: &mut Vec<chappe_core::backend::Delivery<chappe_postgres::PgReceipt>>,
) -> Result<chappe_core::backend::Fetch, chappe_core::Error> {
    use chappe_core::backend::Consumer;
    consumer.fetch(10, out).await
}
