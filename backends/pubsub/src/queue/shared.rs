//! What the handles of a queue share.

use std::sync::Arc;
use std::time::Duration;

use chappe_core::backend::{Attempts, Capabilities, Delay, LeaseKind, Order, Status};
use chappe_core::{Error, ErrorKind};
use tokio_util::task::TaskTracker;

use super::receipt::PubsubReceipt;
use super::tally::Tally;
use super::wire::modify;
use crate::error::GET;
use crate::limit::{MAX_HOLD, MAX_IDS, MAX_LEASE, MIN_LEASE};
use crate::proto::{Named, Subscription};
use crate::target::Target;
use crate::{PubsubClient, PubsubPublisher};

/// How many settlements a call takes to advantage.
const SETTLE_BATCH: usize = 1000;

#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) client: PubsubClient,
    pub(super) target: Target,
    pub(super) options: Options,
    pub(super) capabilities: Capabilities,
    pub(super) status: Status,
    pub(super) dead: Option<PubsubPublisher>,
    pub(super) tally: Arc<Tally>,
    /// The tasks that read streams.
    pub(super) pumps: TaskTracker,
}

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) lease: Duration,
    pub(super) max_hold: Duration,
    pub(super) max_bytes: usize,
    pub(super) ordered: bool,
    pub(super) inspect: bool,
    pub(super) missing_grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            max_hold: MAX_HOLD,
            max_bytes: 64 << 20,
            ordered: false,
            inspect: true,
            missing_grace: Duration::from_secs(60),
        }
    }
}

impl Shared {
    pub(super) fn new(client: &PubsubClient, target: Target) -> Self {
        let mut shared = Self {
            client: client.clone(),
            target,
            options: Options::default(),
            capabilities: Capabilities::new(),
            status: Status::connecting(),
            dead: None,
            tally: Arc::default(),
            pumps: TaskTracker::new(),
        };
        shared.declare();
        shared
    }

    /// Says anew what the queue can do, after options have changed.
    pub(super) fn declare(&mut self) {
        let Options { lease, max_hold, ordered, .. } = self.options;
        let mut capabilities = Capabilities::new();
        capabilities.lease = LeaseKind::Timed { ttl: lease, max: Some(max_hold), renewable: true };
        capabilities.retry_delay = Delay::Exact { max: Some(MAX_LEASE) };
        capabilities.attempts = Attempts::Approximate;
        capabilities.order = if ordered { Order::LaneExclusive } else { Order::None };
        capabilities.dead_letter = self.dead.is_some();
        capabilities.release = false;
        capabilities.confirmed_settle = true;
        capabilities.dead_letter_needs_message = true;
        capabilities.max_settle_batch = SETTLE_BATCH;
        capabilities.max_fetch = SETTLE_BATCH;
        self.capabilities = capabilities;
    }

    /// Whether the options make sense.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.target.check()?;
        let Options { lease, max_hold, max_bytes, .. } = self.options;
        let name = self.target.name();
        let invalid = |text: String| Err(Error::new(ErrorKind::Invalid, text));
        if lease < MIN_LEASE || lease > MAX_LEASE || lease.subsec_nanos() > 0 {
            return invalid(format!(
                "lease of subscription {name} is {lease:?}; Pub/Sub has whole seconds, from 10 to 600"
            ));
        }
        if max_hold < lease {
            return invalid(format!(
                "max_hold of subscription {name} is {max_hold:?}, less than its lease of {lease:?}"
            ));
        }
        if max_bytes == 0 {
            return invalid(format!("max_bytes of subscription {name} is 0, which leaves no room for any message"));
        }
        Ok(())
    }

    /// Whether the subscription is there, and what was asked for. Whoever may not look goes on without knowing.
    pub(super) async fn look(&self) -> Result<(), Error> {
        let request = Named { name: self.target.full().to_string() };
        let found: Subscription = match self.client.call(GET, &self.target, request).await {
            Ok(found) => found,
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
                tracing::debug!(%error, "subscription is not inspected");
                return Ok(());
            }
            Err(error) => {
                self.status.down(&error);
                return Err(error);
            }
        };
        let name = self.target.name();
        if found.detached {
            let text = format!("subscription {name} was detached from its topic; delete it and make another");
            return Err(Error::new(ErrorKind::NotFound, text));
        }
        let Options { inspect, ordered, .. } = self.options;
        if inspect && ordered && !found.enable_message_ordering {
            let text = format!(
                "subscription {name} keeps no order; make one with message ordering, or serve it without `ordered`"
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        self.status.up();
        Ok(())
    }

    /// Gives deliveries back, as well as that goes: if it fails they come back when their leases end.
    pub(super) async fn release(&self, receipts: &[PubsubReceipt]) {
        for receipts in receipts.chunks(MAX_IDS) {
            if let Err(error) = modify(self, receipts, 0).await {
                tracing::warn!(%error, subscription = self.target.name(), "messages could not be given back");
            }
        }
        receipts.iter().for_each(|receipt| receipt.lease().end());
    }
}
