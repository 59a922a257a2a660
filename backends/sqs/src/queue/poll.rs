//! One receive, from the request to deliveries.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageSystemAttributeName;
use chappe_core::Error;
use chappe_core::backend::Delivery;
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::receipt::SqsReceipt;
use super::shared::Shared;
use crate::error::{RECEIVE, classify};
use crate::wire::{Decoded, Decoder, whole_seconds};

/// How much earlier than its answer arrived a message may have been leased.
const TRANSIT: Duration = Duration::from_secs(1);

/// What polls have in common.
#[derive(Clone)]
pub(super) struct Poller {
    pub(super) shared: Arc<Shared>,
    pub(super) client: Client,
    pub(super) decoder: Decoder,
}

impl Poller {
    /// Receives up to `max` messages. `attempt` names the receive in a FIFO queue, so that it can be repeated
    /// if its answer is lost.
    pub(super) async fn poll(self, max: usize, attempt: Option<String>) -> Result<Haul, Error> {
        let Self { shared, client, decoder } = self;
        let options = &shared.options;
        let request = client
            .receive_message()
            .queue_url(shared.target.url())
            .max_number_of_messages(i32::try_from(max).unwrap_or(i32::MAX))
            .wait_time_seconds(whole_seconds(options.wait))
            .visibility_timeout(whole_seconds(options.lease))
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .set_receive_request_attempt_id(attempt);
        let sent = Instant::now();
        let output = Box::pin(request.send()).await.map_err(|error| classify(error, RECEIVE, &shared.target))?;
        // A message is leased when SQS sends it. That was after the request, and not long before now.
        let earliest = Instant::now().checked_sub(TRANSIT.min(options.lease / 4)).unwrap_or(sent);
        let received = sent.max(earliest);
        let mut haul = Haul { shared, deliveries: Vec::new() };
        // Side by side, as a body may have to be fetched from a store.
        let decoding = output.messages.unwrap_or_default().into_iter().filter_map(|mut message| {
            let handle = message.receipt_handle.take()?;
            Some(decoder.decode(message).map(|decoded| (handle, decoded)))
        });
        for (handle, decoded) in join_all(decoding).await {
            match decoded {
                Decoded::Message(message, blob) => {
                    let receipt = SqsReceipt::new(handle, received, haul.shared.options.lease, blob);
                    let until = receipt.lease().until();
                    haul.deliveries.push(Delivery::new(*message, receipt).lease_until(until));
                }
                Decoded::Left(why) => {
                    tracing::warn!(queue = haul.shared.target.name(), why, "message is left in the queue");
                }
            }
        }
        haul.shared.status.count_received(haul.deliveries.len() as u64);
        Ok(haul)
    }
}

/// Deliveries nobody has yet. Dropped, they go back to the queue at once instead of when their lease ends.
pub(super) struct Haul {
    shared: Arc<Shared>,
    pub(super) deliveries: Vec<Delivery<SqsReceipt>>,
}

impl Haul {
    pub(super) fn new(shared: Arc<Shared>, deliveries: Vec<Delivery<SqsReceipt>>) -> Self {
        Self { shared, deliveries }
    }
}

impl Drop for Haul {
    fn drop(&mut self) {
        if self.deliveries.is_empty() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let (shared, deliveries) = (Arc::clone(&self.shared), std::mem::take(&mut self.deliveries));
        runtime.spawn(async move {
            let receipts: Vec<_> = deliveries.into_iter().map(|delivery| delivery.receipt).collect();
            tracing::debug!(queue = shared.target.name(), count = receipts.len(), "what nobody took goes back");
            shared.release(receipts).await;
        });
    }
}
