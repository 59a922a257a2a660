//! The timekeeper: renews leases, and lets go what has waited for its time.

use std::sync::Arc;

use chappe_core::backend::{Action, Queue};
use tokio::time::{Instant, sleep_until};

use super::settle::{Dues, Ticket};
use super::shared::Shared;

/// Keeps time until it is aborted. Asleep for as long as there is nothing to look after.
pub(super) async fn run<Q: Queue>(shared: Arc<Shared<Q>>) {
    let mut renewals = Vec::new();
    let mut dues = Dues::default();
    loop {
        let (next, lost) = shared.schedule().tick(Instant::now(), &mut renewals);
        if lost > 0 {
            tracing::warn!(lost, "leases ended before they could be renewed");
            shared.control.meters.leases_lost.add(lost);
        }
        for renewal in renewals.drain(..) {
            let ticket = Ticket {
                key: Some(renewal.key),
                delivery: renewal.delivery,
                line: renewal.line,
                id: None,
                until: None,
                tries: 0,
            };
            dues.push(renewal.receipt, Action::Extend { by: renewal.by }, None, ticket);
        }
        shared.submit(&mut dues);
        tokio::select! {
            () = shared.timekeeper.notified() => {}
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
    }
}
