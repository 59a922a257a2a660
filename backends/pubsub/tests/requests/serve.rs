//! A server in front of the queue, and what is left of it when it has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chappe::{BoxError, Message, Server, Topic};
use chappe_core::backend::{ConsumeOptions, Consumer, Queue, StopToken};
use chappe_pubsub::{PubsubClient, PubsubQueue};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tower::service_fn;

use crate::fake::{Fake, NAME};

/// How many keys there are: with 20 KB for each, as a task has, they would take a gigabyte.
const KEYS: usize = 50_000;
/// The most that all of them may leave behind, in bytes.
const LEFT: usize = 64 << 20;

/// G31: nothing is left to a task that has yet to run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_may_end_with_serving_and_no_acknowledgement_is_lost() {
    let fake = Fake::start().await;
    let results = fake.publisher().topic().publish_all((0..100).map(|number| number.to_string())).await;
    assert!(results.iter().all(Result::is_ok));
    let address = fake.address.to_string();

    let report = tokio::task::spawn_blocking(move || {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let client = PubsubClient::emulator(&address).unwrap().project("shop");
            let server = Server::new(PubsubQueue::new(&client, NAME)).concurrency(8).prefetch(8);
            let (handle, handled) = (server.handle(), Arc::new(AtomicUsize::new(0)));
            let receiver = service_fn(move |_: Message| {
                if handled.fetch_add(1, Ordering::SeqCst) == 50 {
                    handle.shutdown();
                }
                async { Ok::<_, BoxError>(()) }
            });
            server.serve(receiver).await.unwrap()
        })
    });
    let report = report.await.unwrap();

    let acked = usize::try_from(report.metrics.acked).unwrap();
    assert!(acked > 50, "{report:?}");
    assert_eq!(fake.depth(), (0, 100 - acked));
}

/// G8: neither side keeps anything for a key that is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn fifty_thousand_keys_leave_nothing_behind() {
    let fake = Fake::start().await;
    let topic = fake.publisher().topic();
    let server = Server::new(fake.queue().ordered(true)).concurrency(500).prefetch(500);
    let (handle, handled) = (server.handle(), Arc::new(AtomicUsize::new(0)));
    let (stop, count) = (handle.clone(), Arc::clone(&handled));
    let receiver = service_fn(move |_: Message| {
        if count.fetch_add(1, Ordering::SeqCst) + 1 == KEYS {
            stop.shutdown();
        }
        async { Ok::<_, BoxError>(()) }
    });
    let serving = tokio::spawn(server.serve(receiver).into_future());
    let mut early = None;

    for start in (0..KEYS).step_by(1000) {
        let messages = (start..start + 1000).map(|number| {
            let mut message = Message::new("x");
            message.set_key(format!("customer-{number}"));
            message
        });
        assert!(topic.publish_all(messages).await.iter().all(Result::is_ok));
        if start == KEYS / 10 {
            early = Some(resident());
        }
    }
    serving.await.unwrap().unwrap();

    let grown = resident().saturating_sub(early.expect("it was measured"));
    assert_eq!(fake.depth(), (0, 0));
    assert!(grown < LEFT, "{grown} bytes more than after a tenth of the keys");
}

/// G22: what accepts connections and closes them is not tried in a busy loop.
#[tokio::test]
async fn an_endpoint_that_closes_every_connection_is_tried_with_pauses() {
    const ROUNDS: usize = 6;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client = PubsubClient::emulator(&address).unwrap().project("shop");
    let queue = PubsubQueue::new(&client, NAME).inspect(false);
    let options = ConsumeOptions::new(StopToken::never(), 1.try_into().unwrap());
    let from = Instant::now();
    let mut consumer = queue.consume(options).await.unwrap();
    let consuming = tokio::spawn(async move {
        loop {
            let _ = consumer.fetch(1, &mut Vec::new()).await;
        }
    });

    for _ in 0..ROUNDS {
        drop(listener.accept().await.unwrap());
    }
    consuming.abort();

    // Each round is a connection, or two. The pauses are 0.1, 0.5 and 1 second, of which at least half is kept.
    assert!(from.elapsed().as_millis() >= 300, "{ROUNDS} connections in {:?}", from.elapsed());
}

/// How many bytes of memory this process has.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells it");
    let kilobytes = line.split_ascii_whitespace().nth(1).and_then(|number| number.parse::<usize>().ok());
    kilobytes.expect("it is a number") * 1024
}
