//! One queue, one receiver: `cargo run --example hello`
#![allow(clippy::print_stdout, reason = "a program may print")]

use chappe::memory::MemoryQueue;
use chappe::{BoxError, Message, Server, Topic};
use tower::service_fn;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let queue = MemoryQueue::new("greetings");
    queue.topic().publish("hello, world").await?;

    let server = Server::new(queue);
    let handle = server.handle();
    let receiver = service_fn(move |message: Message| {
        let handle = handle.clone();
        async move {
            println!("{}", String::from_utf8_lossy(message.body()));
            handle.shutdown();
            Ok::<_, BoxError>(()) // acknowledged; an error would have it tried again
        }
    });

    println!("{}", server.serve(receiver).await?);
    Ok(())
}
