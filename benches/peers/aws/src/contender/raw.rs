//! The SDK in loops one would write by hand: send ten, receive ten, handle them, delete ten.

use std::sync::Arc;
use std::time::Instant;

use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, MessageAttributeValue, SendMessageBatchRequestEntry};
use tokio::task::JoinSet;

use super::{Clock, shares};
use crate::calls::Connection;
use crate::{BODY, PUBLISHERS, Run};

pub async fn run(connection: Connection, messages: usize) -> Run {
    let connection = Arc::new(connection);
    let begun = Instant::now();
    let mut publishers = JoinSet::new();
    for share in shares(messages, PUBLISHERS) {
        publishers.spawn(publish(Arc::clone(&connection), share));
    }
    publishers.join_all().await;
    let published = begun.elapsed();

    let clock = Arc::new(Clock::start(messages));
    let mut consumers = JoinSet::new();
    for _ in 0..PUBLISHERS {
        consumers.spawn(consume(Arc::clone(&connection), Arc::clone(&clock)));
    }
    consumers.join_all().await;
    let consumed = clock.stopped().expect("all are handled");
    Run { published, consumed, calls: connection.calls() }
}

async fn publish(connection: Arc<Connection>, messages: usize) {
    for first in (0..messages).step_by(10) {
        let entries = (first..messages.min(first + 10)).map(|at| {
            let entry = SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(BODY);
            ["a", "b", "c", "d"].iter().fold(entry, |entry, name| entry.message_attributes(*name, value())).build()
        });
        let entries = entries.collect::<Result<_, _>>().expect("an entry is complete");
        let request = connection.client.send_message_batch().queue_url(&connection.url).set_entries(Some(entries));
        assert!(request.send().await.expect("a batch can be sent").failed.is_empty());
    }
}

pub fn value() -> MessageAttributeValue {
    let value = MessageAttributeValue::builder().data_type("String").string_value("value");
    value.build().expect("an attribute is complete")
}

async fn consume(connection: Arc<Connection>, clock: Arc<Clock>) {
    while clock.stopped().is_none() {
        let request = connection.client.receive_message().queue_url(&connection.url).message_attribute_names("All");
        let output = request.max_number_of_messages(10).wait_time_seconds(1).send().await;
        let messages = output.expect("messages can be received").messages.unwrap_or_default();
        if messages.is_empty() {
            continue;
        }
        let entries = messages.iter().enumerate().map(|(at, message)| {
            assert_eq!(message.body().map(str::len), Some(BODY.len()));
            clock.handled();
            let entry = DeleteMessageBatchRequestEntry::builder().id(at.to_string());
            entry.set_receipt_handle(message.receipt_handle.clone()).build()
        });
        let entries = entries.collect::<Result<_, _>>().expect("an entry is complete");
        let request = connection.client.delete_message_batch().queue_url(&connection.url).set_entries(Some(entries));
        assert!(request.send().await.expect("messages can be deleted").failed.is_empty());
    }
}
