//! What the handles of a queue share.

use std::time::Duration;

use aws_sdk_sqs::Client;
use chappe_core::backend::{Attempts, Capabilities, Delay, LeaseKind, Order, Status};
use chappe_core::{Error, ErrorKind};

use super::receipt::SqsReceipt;
use super::wire::{Change, change_visibility};
use crate::SqsPublisher;
use crate::blob::SharedBlobs;
use crate::limit::{MAX_BATCH, MAX_VISIBILITY, MAX_WAIT};
use crate::target::Target;
use crate::wire::Envelope;

/// How long settlements wait for company: a tenth of the requests for a twentieth of a second.
const LINGER: Duration = Duration::from_millis(50);

#[derive(Clone, Debug)]
pub(crate) struct Shared {
    /// As it was given, to make others of.
    pub(super) client: Client,
    /// For settling.
    pub(super) control: Client,
    pub(super) target: Target,
    pub(super) options: Options,
    pub(super) capabilities: Capabilities,
    pub(super) status: Status,
    pub(super) dead: Option<SqsPublisher>,
    pub(super) blobs: Option<SharedBlobs>,
}

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) lease: Duration,
    pub(super) wait: Duration,
    pub(super) max_polls: usize,
    pub(super) ordered: bool,
    pub(super) inspect: bool,
    pub(super) envelope: Envelope,
    pub(super) delete_blobs: bool,
    pub(super) missing_grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            wait: MAX_WAIT,
            max_polls: 16,
            ordered: false,
            inspect: true,
            envelope: Envelope::Auto,
            delete_blobs: false,
            missing_grace: Duration::from_secs(60),
        }
    }
}

impl Shared {
    /// Says anew what the queue can do, after options have changed.
    pub(super) fn declare(&mut self) {
        let mut capabilities = Capabilities::new();
        let max = Some(MAX_VISIBILITY);
        capabilities.lease = LeaseKind::Timed { ttl: self.options.lease, max, renewable: true };
        capabilities.retry_delay = Delay::Exact { max };
        capabilities.attempts = Attempts::Approximate;
        capabilities.order = if self.target.is_fifo() { Order::LaneExclusive } else { Order::None };
        capabilities.dead_letter = self.dead.is_some();
        capabilities.release = false;
        capabilities.confirmed_settle = true;
        capabilities.dead_letter_needs_message = true;
        capabilities.max_settle_batch = MAX_BATCH;
        capabilities.settle_linger = LINGER.min(self.options.lease / 10);
        capabilities.max_fetch = MAX_BATCH * self.options.max_polls;
        self.capabilities = capabilities;
    }

    /// Whether the options make sense, and fit the queue.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.target.check()?;
        let Options { lease, wait, max_polls, ordered, .. } = self.options;
        let name = self.target.name();
        let invalid = |text: String| Err(Error::new(ErrorKind::Invalid, text));
        if lease < Duration::from_secs(1) || lease > MAX_VISIBILITY || lease.subsec_nanos() > 0 {
            return invalid(format!("lease of queue {name} is {lease:?}; SQS has whole seconds, from 1 to 43200"));
        }
        if wait > MAX_WAIT || wait.subsec_nanos() > 0 {
            return invalid(format!("wait of queue {name} is {wait:?}; SQS has whole seconds, up to 20"));
        }
        if max_polls == 0 {
            return invalid(format!("max_polls of queue {name} is 0, at least 1 is needed to fetch anything"));
        }
        if ordered && !self.target.is_fifo() {
            let text = format!(
                "queue {name} is a standard queue, which keeps no order; use a FIFO queue, whose name ends in .fifo"
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        Ok(())
    }

    /// Gives deliveries back, as well as that goes: if it fails they come back when their leases end.
    pub(super) async fn release(&self, receipts: Vec<SqsReceipt>) {
        for receipts in receipts.chunks(MAX_BATCH) {
            let changes: Vec<_> =
                receipts.iter().map(|receipt| Change { receipt: receipt.clone(), seconds: 0 }).collect();
            if let Err(error) = change_visibility(self, &changes).await {
                tracing::warn!(%error, queue = self.target.name(), "messages could not be given back");
            }
            receipts.iter().for_each(|receipt| receipt.lease().end());
        }
    }
}
