//! The two batches that settle: deletions and changes of visibility.

use std::collections::HashMap;

use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
};
use chappe_core::backend::SettleResult;
use chappe_core::{Error, ErrorKind};

use super::receipt::SqsReceipt;
use super::shared::Shared;
use crate::error::{CHANGE, Call, DELETE, classify, of_entry, unanswered};

/// A new end of a lease.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) receipt: SqsReceipt,
    /// From now on.
    pub(super) seconds: i32,
}

/// Deletes up to ten messages; a result for each, in order.
pub(super) async fn delete(shared: &Shared, receipts: &[SqsReceipt]) -> Result<Vec<SettleResult>, Error> {
    let entries = receipts.iter().enumerate().map(|(at, receipt)| {
        DeleteMessageBatchRequestEntry::builder()
            .id(at.to_string())
            .receipt_handle(receipt.handle())
            .build()
            .expect("id and handle are set")
    });
    let request = shared.control.delete_message_batch().queue_url(shared.target.url());
    let request = request.set_entries(Some(entries.collect()));
    let output =
        Box::pin(request.send()).await.map_err(|error| call_failed(classify(error, DELETE, &shared.target)))?;
    let done = output.successful.into_iter().map(|entry| entry.id);
    Ok(results(receipts.len(), done, output.failed, DELETE, shared))
}

/// Changes the visibility of up to ten messages; a result for each, in order.
pub(super) async fn change_visibility(shared: &Shared, changes: &[Change]) -> Result<Vec<SettleResult>, Error> {
    let entries = changes.iter().enumerate().map(|(at, change)| {
        ChangeMessageVisibilityBatchRequestEntry::builder()
            .id(at.to_string())
            .receipt_handle(change.receipt.handle())
            .visibility_timeout(change.seconds)
            .build()
            .expect("id and handle are set")
    });
    let request = shared.control.change_message_visibility_batch().queue_url(shared.target.url());
    let request = request.set_entries(Some(entries.collect()));
    let output =
        Box::pin(request.send()).await.map_err(|error| call_failed(classify(error, CHANGE, &shared.target)))?;
    let done = output.successful.into_iter().map(|entry| entry.id);
    Ok(results(changes.len(), done, output.failed, CHANGE, shared))
}

/// What came of each entry. One the answer does not mention has failed.
fn results(
    count: usize,
    done: impl Iterator<Item = String>,
    failed: Vec<BatchResultErrorEntry>,
    call: Call,
    shared: &Shared,
) -> Vec<SettleResult> {
    let mut by_id: HashMap<String, SettleResult> = done.map(|id| (id, SettleResult::Done)).collect();
    for entry in failed {
        let error = of_entry(&entry.code, entry.message(), entry.sender_fault, call, &shared.target);
        let result = match error.kind() {
            ErrorKind::LeaseLost => SettleResult::Lost,
            _ => SettleResult::Failed(call_failed(error)),
        };
        by_id.insert(entry.id, result);
    }
    let result = |at: usize| by_id.remove(&at.to_string());
    let missing = || SettleResult::Failed(unanswered(call, &shared.target));
    (0..count).map(result).map(|result| result.unwrap_or_else(missing)).collect()
}

/// A permission may be given and credentials renewed before the lease is over.
fn call_failed(error: Error) -> Error {
    if error.kind() == ErrorKind::PermissionDenied { error.retryable(true) } else { error }
}
