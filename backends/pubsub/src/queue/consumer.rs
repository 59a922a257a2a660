//! [`PubsubConsumer`], a stream and what came of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chappe_core::Error;
use chappe_core::backend::{ConsumeOptions, Consumer, Delivery, Fetch, StopToken};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::pump::Pump;
use super::receipt::PubsubReceipt;
use super::shared::Shared;
use super::stock::Stock;
use crate::wire::Decoder;

/// How long a consumer that is stopped waits until what it held is given back; that goes on without it.
const GIVE_BACK: Duration = Duration::from_millis(500);
/// How many messages are held at most for a server that sends more than it was asked for, as emulators do.
const MOST: usize = 10_000;

/// Fetches from a [`PubsubQueue`](crate::PubsubQueue) what a task of its own reads from a stream.
///
/// Pub/Sub is told how many messages may be out, so that what waits here is what may be handled next. Its leases are
/// renewed while it waits. A consumer that is stopped or dropped gives back at once what nobody has fetched, and what
/// a stream still brings.
pub struct PubsubConsumer {
    shared: Arc<Shared>,
    stock: Arc<Stock>,
    stop: StopToken,
    /// Stops the task.
    pump: CancellationToken,
    returned: CancellationToken,
}

impl PubsubConsumer {
    pub(super) fn start(shared: &Arc<Shared>, options: ConsumeOptions) -> Self {
        let window = options.max_unsettled.get();
        let stock = Arc::new(Stock::new(
            shared.options.ordered,
            Arc::clone(&shared.tally),
            window,
            (shared.options.max_bytes, window.max(MOST)),
        ));
        let (pump, returned) = (CancellationToken::new(), CancellationToken::new());
        let task = Pump {
            shared: Arc::clone(shared),
            stock: Arc::clone(&stock),
            decoder: Decoder::new(shared.target.name().into()),
            window,
            client_id: options.name.map_or_else(fresh_id, |name| name.to_string()),
            stop: pump.clone(),
            returned: returned.clone(),
        };
        drop(shared.pumps.spawn(task.run()));
        Self { shared: Arc::clone(shared), stock, stop: options.stop, pump, returned }
    }
}

impl Consumer for PubsubConsumer {
    type Receipt = PubsubReceipt;

    async fn fetch(&mut self, max: usize, out: &mut Vec<Delivery<PubsubReceipt>>) -> Result<Fetch, Error> {
        let (before, max) = (out.len(), max + out.len());
        loop {
            if self.stop.is_stopped() {
                self.pump.cancel();
                let _ = timeout(GIVE_BACK, self.returned.cancelled()).await;
                return Ok(Fetch::Stopped);
            }
            self.stock.hand_out(max, out);
            if out.len() > before {
                return Ok(Fetch::More);
            }
            if let Some(error) = self.stock.take_failure() {
                return Err(error);
            }
            let due = self.stock.due();
            tokio::select! {
                () = self.stock.changed() => {}
                () = self.stop.stopped() => {}
                () = async { sleep_until(due.expect("it is some")).await }, if due.is_some() => {}
            }
        }
    }
}

impl Drop for PubsubConsumer {
    fn drop(&mut self) {
        self.pump.cancel();
    }
}

impl fmt::Debug for PubsubConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubsubConsumer").field("subscription", &self.shared.target.name()).finish_non_exhaustive()
    }
}

/// An id nobody has used: 128 bits of chance.
fn fresh_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}
