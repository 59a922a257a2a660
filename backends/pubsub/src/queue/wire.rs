//! The two calls that settle: acknowledgements and changes of leases.

use std::collections::HashMap;

use chappe_core::backend::SettleResult;
use chappe_core::{Error, ErrorKind};
use tonic::Code;

use super::receipt::PubsubReceipt;
use super::shared::Shared;
use crate::error::{ACK, Call, MODIFY, classify, failed_ids, late};
use crate::proto::{AcknowledgeRequest, Empty, ModifyAckDeadlineRequest};

/// Acknowledges messages; a result for each, in order.
pub(super) async fn acknowledge(shared: &Shared, receipts: &[PubsubReceipt]) -> Result<Vec<SettleResult>, Error> {
    settle(shared, receipts, ACK, |subscription, ack_ids| AcknowledgeRequest { subscription, ack_ids }).await
}

/// Has the leases of messages end in so many seconds from now; a result for each, in order.
pub(super) async fn modify(
    shared: &Shared,
    receipts: &[PubsubReceipt],
    seconds: i32,
) -> Result<Vec<SettleResult>, Error> {
    let request =
        |subscription, ack_ids| ModifyAckDeadlineRequest { subscription, ack_deadline_seconds: seconds, ack_ids };
    settle(shared, receipts, MODIFY, request).await
}

/// Makes a call about ids. If it is refused as a whole for one of them, that is looked for by halves.
async fn settle<Q>(
    shared: &Shared,
    receipts: &[PubsubReceipt],
    call: Call,
    request: impl Fn(String, Vec<String>) -> Q,
) -> Result<Vec<SettleResult>, Error>
where
    Q: prost::Message + 'static,
{
    let mut results = Vec::with_capacity(receipts.len());
    let mut parts = vec![receipts];
    while let Some(part) = parts.pop() {
        let ids = part.iter().map(|receipt| receipt.ack_id().to_owned()).collect();
        let request = request(shared.target.full().to_string(), ids);
        let status = match shared.client.ask::<_, Empty>(call, &shared.target, request).await {
            Ok(Empty {}) => {
                shared.status.up();
                results.extend(part.iter().map(|_| SettleResult::Done));
                continue;
            }
            Err(None) => return Err(late(call, &shared.target)),
            Err(Some(status)) => status,
        };
        // An exactly-once subscription says what became of each.
        let failed: HashMap<_, _> = failed_ids(&status).into_iter().collect();
        let known = |receipt: &&PubsubReceipt| failed.contains_key(receipt.ack_id());
        if part.iter().any(|receipt| known(&receipt)) {
            results.extend(part.iter().map(|receipt| match failed.get(receipt.ack_id()) {
                None => SettleResult::Done,
                Some(code) if code.starts_with("PERMANENT") => SettleResult::Lost,
                Some(code) => SettleResult::Failed(for_now(shared, code)),
            }));
            continue;
        }
        if !matches!(status.code(), Code::InvalidArgument | Code::FailedPrecondition) {
            return Err(call_failed(classify(&status, call, &shared.target)));
        }
        match part.split_at(part.len() / 2) {
            ([], _) => results.push(SettleResult::Lost),
            (first, second) => parts.extend([second, first]),
        }
    }
    Ok(results)
}

fn for_now(shared: &Shared, code: &str) -> Error {
    let text = format!("message of subscription {} cannot be settled now ({code})", shared.target.name());
    Error::new(ErrorKind::Unavailable, text)
}

/// A permission may be given and credentials renewed before the lease is over.
fn call_failed(error: Error) -> Error {
    if error.kind() == ErrorKind::PermissionDenied { error.retryable(true) } else { error }
}
