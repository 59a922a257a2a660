//! Ends on Ctrl-C without losing or repeating anything: `cargo run --example graceful_shutdown`
//!
//! A handler takes a second here. Press Ctrl-C: nothing new is started, what runs is finished within the
//! grace, what was fetched and not started goes back to the queue, and the report says how it went. Press it
//! again and handlers are cancelled; their messages go back too, and without a failed attempt.
#![allow(clippy::print_stdout, reason = "a program may print")]

use std::future::IntoFuture;
use std::time::Duration;

use chappe::memory::MemoryQueue;
use chappe::{BoxError, Message, Server, Topic};
use tokio::signal::ctrl_c;
use tower::service_fn;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let queue = MemoryQueue::new("jobs");
    for job in 1..=20 {
        queue.topic().publish(format!("job {job}")).await?;
    }

    let receiver = service_fn(async |message: Message| {
        let job = String::from_utf8_lossy(message.body()).into_owned();
        println!("{job} begins");
        tokio::time::sleep(Duration::from_secs(1)).await;
        println!("{job} is done");
        Ok::<_, BoxError>(())
    });
    let serving = Server::new(queue.clone()).concurrency(4).grace(Duration::from_secs(10)).serve(receiver);

    let handle = serving.handle();
    tokio::spawn(async move {
        let _ = ctrl_c().await;
        println!("shutting down; press Ctrl-C again to hurry");
        handle.shutdown();
        let _ = ctrl_c().await;
        handle.shutdown_within(Duration::ZERO);
    });

    match serving.into_future().await {
        Ok(report) => println!("clean: {report}"),
        Err(error) => println!("{error}: {}", error.report()),
    }
    println!("{} jobs are left in the queue", queue.len());
    Ok(())
}
