//! A standby that takes over.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::{BoxError, Message, Server, Topic};
use chappe_postgres::{PgQueue, PgStore};
use tokio::sync::watch;
use tokio::time::timeout;
use tower::service_fn;

use crate::cluster::Cluster;
use crate::support::{PATIENCE, client_at, rows, store_at};

/// With synchronous replication nothing that was said to be published is lost. Without, what the standby did not
/// have yet is, as with anything else in PostgreSQL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_standby_that_takes_over_has_all_that_was_published_with_synchronous_replication() {
    const COUNT: usize = 600;
    let (primary, standby) = Cluster::pair().await;
    store_at(&primary.url()).await;
    let beside = client_at(&primary.url()).await;
    beside.batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await.unwrap();
    beside.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let synchronous = async {
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        while beside.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, synchronous).await.expect("the standby follows");
    let url = format!(
        "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=read-write",
        primary.port(),
        standby.port()
    );
    let queue = PgQueue::new(&PgStore::from_url(&url).unwrap(), "q").lease(Duration::from_secs(3));
    let handled: Arc<Mutex<HashSet<String>>> = Arc::default();
    let seen = Arc::clone(&handled);
    let handler = service_fn(move |message: Message| {
        seen.lock().unwrap().insert(String::from_utf8_lossy(message.body()).into_owned());
        async { Ok::<_, BoxError>(()) }
    });
    let server = Server::new(queue.clone()).concurrency(16);
    let handle = server.handle();
    let serving = tokio::spawn(async move { server.serve(handler).await });
    let (published, mut progress) = watch::channel(0);
    let topic = queue.topic();
    let publishing = tokio::spawn(async move {
        for number in 0..COUNT {
            let mut message = Message::new(number.to_string());
            // So that what is in doubt may be published again.
            message.set_id(number.to_string());
            while let Err(error) = topic.publish(message.clone()).await {
                let error = chappe_core::Error::from_boxed(error);
                assert!(error.is_retryable(), "{error:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            published.send_replace(number);
        }
    });

    timeout(PATIENCE, progress.wait_for(|number| *number > COUNT / 3)).await.unwrap().unwrap();
    primary.kill();
    let promoted = client_at(&standby.url()).await.query_one("SELECT pg_promote()", &[]).await.unwrap();
    timeout(PATIENCE, publishing).await.expect("publishing goes on").unwrap();
    let beside = client_at(&standby.url()).await;
    let drained = async {
        while rows(&beside, "q").await > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, drained).await.expect("handling goes on");
    handle.shutdown();
    timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();

    assert!(promoted.get::<_, bool>(0));
    let handled = handled.lock().unwrap();
    let lost: Vec<_> = (0..COUNT).filter(|number| !handled.contains(&number.to_string())).collect();
    assert!(lost.is_empty(), "published and never handled: {lost:?}");
}

/// Who was connected to the standby already is told what it is, and goes on when it is one no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn publishing_to_a_standby_is_refused_until_it_is_promoted() {
    let (primary, standby) = Cluster::pair().await;
    store_at(&primary.url()).await;
    let beside = client_at(&standby.url()).await;
    let copied = async {
        while beside.query_one("SELECT max(version) FROM chappe.migration", &[]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, copied).await.expect("the standby follows");
    let queue = PgQueue::new(&PgStore::from_url(&standby.url()).unwrap(), "q");
    let publisher = queue.publisher();
    let batch = || [chappe_core::backend::Outgoing::new("x".into())];

    let refused = chappe_core::backend::Publisher::publish(&publisher, &mut batch()).await.unwrap_err();
    primary.kill();
    beside.query_one("SELECT pg_promote()", &[]).await.unwrap();
    let accepted = timeout(PATIENCE, queue.topic().publish("x")).await.unwrap();

    assert!(refused.is_retryable() && !refused.is_ambiguous(), "{refused:?}");
    assert!(refused.to_string().contains("target_session_attrs=read-write"), "{refused}");
    accepted.unwrap();
    assert_eq!(rows(&beside, "q").await, 1);
}
