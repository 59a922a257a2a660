//! What everything is compared with: a bounded `tokio::sync::mpsc` channel, read in batches, handled inline.

use chappe::Message;
use tokio::sync::mpsc;

use super::load::ATTRIBUTE;
use super::{Load, Sink, template};

/// Messages the channel holds, and the queue of every contender that can be bounded.
pub const CAPACITY: usize = 1024;

/// Messages taken at once.
const BATCH: usize = 256;

/// Publishes and handles all messages of a load.
pub async fn run(load: Load, sink: Sink) {
    let (sender, mut receiver) = mpsc::channel::<Message>(CAPACITY);
    let template = template();
    for share in load.shares() {
        let (sender, template) = (sender.clone(), template.clone());
        tokio::spawn(async move {
            for _ in 0..share {
                sender.send(template.clone()).await.expect("the channel is open");
            }
        });
    }
    drop(sender);
    let handling = tokio::spawn(async move {
        let mut batch = Vec::with_capacity(BATCH);
        while receiver.recv_many(&mut batch, BATCH).await > 0 {
            for message in batch.drain(..) {
                sink.take(message.attributes().get_str(ATTRIBUTE), message.body());
            }
        }
    });
    handling.await.expect("the handler does not panic");
}
