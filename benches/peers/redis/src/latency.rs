//! How long it takes until a lone message is handled, by a server that has nothing else to do.

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use chappe::redis::RedisQueue;
use chappe::{BoxError, Message, Server, Topic};
use tokio::sync::mpsc;
use tower::service_fn;

use crate::contender::ours;
use crate::server::{client, forget};
use crate::verdict;

const TARGET: Duration = Duration::from_millis(20);

pub async fn idle_wake_up(messages: usize) {
    let name = format!("bench-lone-{}", std::process::id());
    let queue = RedisQueue::new(&client(), name.as_str());
    let topic = queue.topic();
    let (handled, mut arrivals) = mpsc::channel(1);
    let receiver = service_fn(move |_: Message| {
        let handled = handled.clone();
        async move { handled.send(Instant::now()).await.map_err(BoxError::from) }
    });
    let serving = tokio::spawn(Server::new(queue).serve(receiver).into_future());
    let mut times = Vec::with_capacity(messages);
    for _ in 0..messages {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let sent = Instant::now();
        topic.publish(ours::message()).await.expect("a message can be published");
        times.push(arrivals.recv().await.expect("it is handled").saturating_duration_since(sent));
    }
    serving.abort();
    forget(&name).await;
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!("\nfrom publishing to handling when idle: p50 {:.2?}, p99 {:.2?}, worst {:.2?}", at(50), at(99), at(100));
    verdict(&format!("p99 of {:.2?}, wanted at most {TARGET:?}", at(99)), at(99) <= TARGET);
}
