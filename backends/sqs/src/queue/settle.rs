//! Settling a batch: what to delete, what to hide, what to bury.

use std::sync::Arc;
use std::time::Duration;

use chappe_core::backend::{Action, Burials, SettleResult, Settlement};
use chappe_core::{Error, ErrorKind, Reason};
use futures_util::future::{join, join_all};
use tokio::time::Instant;

use super::receipt::SqsReceipt;
use super::shared::Shared;
use super::wire::{Change, change_visibility, delete};
use crate::limit::{MAX_BATCH, MAX_VISIBILITY};
use crate::wire::whole_seconds;

/// What is to be done, each with its place in the batch.
#[derive(Default)]
struct Plan {
    deletes: Vec<(usize, SqsReceipt)>,
    /// Followers of a group have no place.
    changes: Vec<(Option<usize>, Change)>,
    burials: Vec<(usize, Reason)>,
}

impl Shared {
    /// Settles a batch. What is deleted and what is hidden goes in requests of its own, side by side; what
    /// is hidden in order, so that a group's head goes before those behind it.
    pub(super) async fn settle_batch(&self, batch: &mut [Settlement<SqsReceipt>]) -> Result<(), Error> {
        let now = Instant::now();
        let mut plan = self.plan(batch, now);
        self.bury(batch, &mut plan).await;
        let Plan { deletes, changes, .. } = plan;
        let deleting = join_all(deletes.chunks(MAX_BATCH).map(|chunk| async move {
            let receipts: Vec<_> = chunk.iter().map(|(_, receipt)| receipt.clone()).collect();
            Box::pin(delete(self, &receipts)).await
        }));
        let changing = async {
            let mut answers = Vec::new();
            for chunk in changes.chunks(MAX_BATCH) {
                let chunk: Vec<_> = chunk.iter().map(|(_, change)| change.clone()).collect();
                answers.push(Box::pin(change_visibility(self, &chunk)).await);
            }
            answers
        };
        let (deleted, changed) = join(deleting, changing).await;
        let mut failure = None;
        let results = flat(deleted, deletes.len(), &mut failure);
        for ((place, _), result) in deletes.iter().zip(results) {
            batch[*place].result = result.unwrap_or(SettleResult::Pending);
        }
        let results = flat(changed, changes.len(), &mut failure);
        for ((place, change), result) in changes.iter().zip(results) {
            match (place, result.unwrap_or(SettleResult::Pending)) {
                (Some(place), result) => batch[*place].result = result,
                // A follower whose lease was renewed.
                (None, SettleResult::Done) if change.seconds > 0 => {
                    change.receipt.lease().extend(now + Duration::from_secs(change.seconds.unsigned_abs().into()));
                }
                (None, _) => {}
            }
        }
        self.follow_up(batch, now).await;
        failure.map_or(Ok(()), Err)
    }

    fn plan(&self, batch: &mut [Settlement<SqsReceipt>], now: Instant) -> Plan {
        let mut plan = Plan::default();
        for (place, settlement) in batch.iter_mut().enumerate().filter(|(_, entry)| entry.result.is_pending()) {
            let receipt = &settlement.receipt;
            if settlement.action != Action::Forget && receipt.lease().is_over(now) {
                settlement.result = SettleResult::Lost;
                continue;
            }
            let left = MAX_VISIBILITY.saturating_sub(receipt.lease().age(now));
            match &settlement.action {
                Action::Ack => plan.deletes.push((place, receipt.clone())),
                Action::Retry { delay, .. } => plan.put_back(place, receipt, whole_seconds((*delay).min(left))),
                Action::Release => plan.put_back(place, receipt, 0),
                Action::Extend { by } if *by > left => settlement.result = SettleResult::Failed(self.held_too_long()),
                Action::Extend { by } => plan.extend(place, receipt, whole_seconds(*by).max(1)),
                Action::DeadLetter { reason } => plan.burials.push((place, Arc::clone(reason))),
                _ => settlement.result = SettleResult::Done,
            }
        }
        plan
    }

    /// Sends dead letters to their queue; those that arrived are to be deleted here.
    async fn bury(&self, batch: &mut [Settlement<SqsReceipt>], plan: &mut Plan) {
        let Some(dead) = &self.dead else {
            for (place, _) in plan.burials.drain(..) {
                batch[place].result = SettleResult::Failed(self.no_dead_letter());
            }
            return;
        };
        let mut burials = Burials::new("queue", self.target.name(), SqsReceipt::lease);
        let letters = burials.letters(batch, plan.burials.drain(..));
        let sent = if letters.is_empty() { Vec::new() } else { dead.bury(&letters).await };
        for place in burials.conclude(batch, sent) {
            plan.deletes.push((place, batch[place].receipt.clone()));
        }
    }

    /// Brings receipts, groups and blobs up to date with what came of it.
    async fn follow_up(&self, batch: &[Settlement<SqsReceipt>], now: Instant) {
        let mut back = Vec::new();
        let mut blobs = Vec::new();
        for settlement in batch {
            let receipt = &settlement.receipt;
            let group = || receipt.group();
            match (&settlement.action, &settlement.result) {
                (Action::Extend { by }, SettleResult::Done) => receipt.lease().extend(now + *by),
                (Action::Forget, _) | (_, SettleResult::Lost) => {
                    receipt.lease().end();
                    if let Some((groups, name)) = group() {
                        // It will come again, and those behind it must not come before.
                        back.extend(groups.take_followers(name, receipt));
                        groups.advance(name, receipt);
                    }
                }
                (action, SettleResult::Done) => {
                    receipt.lease().end();
                    let gone = matches!(action, Action::Ack | Action::DeadLetter { .. });
                    blobs.extend(receipt.blob().filter(|_| gone && self.options.delete_blobs));
                    if let Some((groups, name)) = group() {
                        groups.advance(name, receipt);
                    }
                }
                _ => {}
            }
        }
        if !back.is_empty() {
            self.release(back).await;
        }
        for blob in blobs {
            let Some(store) = &self.blobs else { continue };
            if let Err(error) = store.0.delete(blob).await {
                tracing::warn!(%error, key = blob.key, "body of a message could not be deleted");
            }
        }
    }

    fn held_too_long(&self) -> Error {
        let text = format!("message of queue {} cannot be held beyond the twelve hours SQS allows", self.target.name());
        Error::new(ErrorKind::Unsupported, text)
    }

    fn no_dead_letter(&self) -> Error {
        let text = format!("queue {} has no dead letter; give it one with `dead_letter`", self.target.name());
        Error::new(ErrorKind::Unsupported, text)
    }
}

impl Plan {
    /// Puts a delivery back, and with it those of its group that wait for it here.
    fn put_back(&mut self, place: usize, receipt: &SqsReceipt, seconds: i32) {
        self.changes.push((Some(place), Change { receipt: receipt.clone(), seconds }));
        if let Some((groups, name)) = receipt.group() {
            let followers = groups.take_followers(name, receipt).into_iter();
            self.changes.extend(followers.map(|receipt| (None, Change { receipt, seconds: 0 })));
        }
    }

    /// Renews a lease, and with it those of its group that wait for it here.
    fn extend(&mut self, place: usize, receipt: &SqsReceipt, seconds: i32) {
        self.changes.push((Some(place), Change { receipt: receipt.clone(), seconds }));
        if let Some((groups, name)) = receipt.group() {
            let followers = groups.followers(name, receipt).into_iter();
            self.changes.extend(followers.map(|receipt| (None, Change { receipt, seconds })));
        }
    }
}

/// The results of all requests in order, without those of requests that failed as a whole.
fn flat(
    answers: Vec<Result<Vec<SettleResult>, Error>>,
    mut count: usize,
    failure: &mut Option<Error>,
) -> Vec<Option<SettleResult>> {
    let mut results = Vec::with_capacity(count);
    for answer in answers {
        let size = count.min(MAX_BATCH);
        count -= size;
        match answer {
            Ok(answer) => results.extend(answer.into_iter().map(Some)),
            Err(error) => {
                results.extend((0..size).map(|_| None));
                failure.get_or_insert(error);
            }
        }
    }
    results
}
