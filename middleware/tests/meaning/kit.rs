//! Short words for the tests.
#![allow(dead_code, reason = "not every feature needs all of them")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::memory::MemoryQueue;
use chappe::server::{Backoff, Report};
use chappe::{BoxError, Message, Published, Receiver, Server};
use tokio::time::sleep;
use tower::service_fn;
use tower_test::mock;

pub const SECOND: Duration = Duration::from_secs(1);

/// What tests a receiver by hand: it answers nothing but `()`.
pub type Mock = mock::Mock<Message, ()>;
/// What tests a topic by hand.
pub type MockTopic = mock::Mock<Message, Published>;

pub fn with(name: &'static str, value: impl Into<String>) -> Message {
    let mut message = Message::new("body");
    message.attributes_mut().insert(name, value.into());
    message
}

/// Serves long enough for everything to come to rest; failed messages come back after a second.
pub async fn serve(queue: &MemoryQueue, receiver: impl Receiver) -> Report {
    let server = Server::new(queue.clone()).backoff(Backoff::fixed(SECOND));
    server.serve(receiver).with_graceful_shutdown(sleep(600 * SECOND)).await.unwrap()
}

/// What was handled, in order.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<Message>>>);

impl Seen {
    pub fn messages(&self) -> Vec<Message> {
        self.0.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.messages().len()
    }

    /// A receiver that fails the first `failures` times.
    pub fn failing(&self, failures: u32) -> impl Receiver + Sync + use<> {
        let seen = self.clone();
        service_fn(move |message: Message| {
            let attempt = message.attempt();
            seen.0.lock().unwrap().push(message);
            async move { if (1..=failures).contains(&attempt) { Err(BoxError::from("on purpose")) } else { Ok(()) } }
        })
    }

    /// Checks that there were this many attempts, and that each saw the same.
    #[track_caller]
    pub fn assert_same(&self, attempts: usize) {
        let messages = self.messages();
        assert_eq!(messages.len(), attempts);
        for message in &messages {
            assert_eq!(message.body(), messages[0].body());
            assert_eq!(message.attributes(), messages[0].attributes());
        }
    }
}
