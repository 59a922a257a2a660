//! [`Handle`], what the clones of a bus and its subscriptions share.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use chappe_core::backend::{Outgoing, PublishCapabilities, PublishResult, SubscribeOptions};
use chappe_core::bus::{Mark, Numbers};
use chappe_core::{Error, ErrorKind, MessageId, Published};
use redis::{Client, Pipeline, Value};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use super::hub::{Hub, closed};
use super::listener;
use super::payload::seal;
use super::subscription::RedisSubscription;
use crate::error::{PUBLISH, unreadable};
use crate::limit::{MAX_ATTRIBUTES, MAX_BATCH, MAX_BATCH_BYTES, MAX_BUS_MESSAGE_BYTES};
use crate::link::Link;

/// One participant of a bus, as a process would be: an identity, a connection that is subscribed and one for
/// everything else.
pub(super) struct Handle {
    pub(super) topic: Arc<str>,
    pub(super) link: Arc<Link>,
    pub(super) capabilities: PublishCapabilities,
    hub: Arc<Hub>,
    listener: OnceLock<AbortHandle>,
    /// Whoever holds it is the only one to publish, so that messages go out in the order of their numbers.
    numbers: Mutex<Numbers>,
}

impl Handle {
    pub(super) fn new(client: &Client, topic: Arc<str>) -> Self {
        let link = Arc::new(Link::new(client, format!("bus {topic}")));
        let mut capabilities = PublishCapabilities::new();
        capabilities.max_batch = MAX_BATCH;
        capabilities.max_batch_bytes = MAX_BATCH_BYTES;
        capabilities.max_message_bytes = MAX_BUS_MESSAGE_BYTES;
        capabilities.attributes.max_count = MAX_ATTRIBUTES;
        let hub = Arc::new(Hub::new(link.status.clone()));
        Self { topic, link, capabilities, hub, listener: OnceLock::new(), numbers: Mutex::default() }
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(super) async fn subscribe(
        self: &Arc<Self>,
        topic: &str,
        options: SubscribeOptions,
    ) -> Result<RedisSubscription, Error> {
        let line = self.hub.subscribe(topic, &options)?;
        let subscription = RedisSubscription::new(Arc::clone(self), line, options.stop);
        self.listener.get_or_init(|| {
            let listening = listener::listen(Arc::clone(&self.hub), Arc::clone(&self.link));
            tokio::spawn(listening).abort_handle()
        });
        self.hub.subscribed(subscription.line()).await?;
        Ok(subscription)
    }

    pub(super) fn close(&self) {
        self.hub.close();
        if let Some(listener) = self.listener.get() {
            listener.abort();
        }
    }

    /// Publishes what is pending of a batch.
    pub(super) async fn publish(&self, topic: &Arc<str>, batch: &mut [Outgoing]) -> Result<(), Error> {
        let mut numbers = self.numbers.lock().await;
        // It may have been closed while others published.
        if self.hub.is_closed() {
            return Err(closed(topic));
        }
        let before = numbers.last(topic);
        let now = SystemTime::now();
        let mut pipeline = Pipeline::with_capacity(batch.len());
        let mut sent = Vec::with_capacity(batch.len());
        for entry in batch.iter_mut().filter(|entry| entry.result.is_pending()) {
            if let Err(error) = self.capabilities.check(&entry.message) {
                entry.result = PublishResult::Failed(error);
                continue;
            }
            let mark = Mark { origin: self.hub.origin, seq: before + 1 + sent.len() as u64 };
            pipeline.cmd("PUBLISH").arg(&**topic).arg(seal(mark, &entry.message, now));
            sent.push((mark, entry));
        }
        if sent.is_empty() {
            return Ok(());
        }
        numbers.set_last(topic, before + sent.len() as u64);
        match self.link.pipeline(&pipeline, sent.len(), PUBLISH).await {
            Ok(answers) if answers.len() == sent.len() => {
                let mut accepted = 0;
                for ((mark, entry), answer) in sent.into_iter().zip(answers) {
                    entry.result = self.judge(mark, entry, &answer);
                    accepted += u64::from(matches!(entry.result, PublishResult::Accepted(_)));
                }
                self.link.status.count_sent(accepted);
                Ok(())
            }
            Ok(_) => Err(fail(sent, unreadable(PUBLISH, self.link.name()))),
            Err(error) if error.is_ambiguous() => Err(fail(sent, error)),
            Err(error) => {
                numbers.set_last(topic, before);
                Err(error)
            }
        }
    }

    fn judge(&self, mark: Mark, entry: &Outgoing, answer: &Value) -> PublishResult {
        match answer {
            Value::Int(_) => {
                let id: MessageId = entry.message.id().cloned().unwrap_or_else(|| mark.id());
                PublishResult::Accepted(Published::new(Some(id)))
            }
            Value::ServerError(error) => PublishResult::Failed(self.link.of_server(error, PUBLISH)),
            _ => PublishResult::Failed(unreadable(PUBLISH, self.link.name())),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.get() {
            listener.abort();
        }
    }
}

/// Says of messages that may have been published that nobody knows.
fn fail(sent: Vec<(Mark, &mut Outgoing)>, error: Error) -> Error {
    for (_, entry) in sent {
        let kind = if error.kind() == ErrorKind::Timeout { ErrorKind::Timeout } else { ErrorKind::Unavailable };
        let text = format!("message may not have been published: {error}");
        entry.result = PublishResult::Failed(Error::new(kind, text).ambiguous());
    }
    error
}
