//! Settling a batch: what to acknowledge, what to put off, what to bury.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chappe_core::backend::{Action, Burials, SettleResult, Settlement};
use chappe_core::{Error, ErrorKind, Reason};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::iter;
use tokio::time::Instant;

use super::receipt::PubsubReceipt;
use super::shared::Shared;
use super::wire::{acknowledge, modify};
use crate::limit::{MAX_IDS, MAX_LEASE};

/// How many calls of a batch may be under way at once: each time that messages are put off by is a call of its own.
const CALLS: usize = 8;

/// What a call is about. Those that go with the one before them have no place.
type Part = Vec<(Option<usize>, PubsubReceipt)>;
type Answer = (Part, Result<Vec<SettleResult>, Error>);

/// What is to be done, each with its place in the batch.
#[derive(Default)]
struct Plan {
    acks: Part,
    /// By the seconds from now in which the lease is to end.
    changes: HashMap<i32, Part>,
    burials: Vec<(usize, Reason)>,
}

impl Shared {
    /// Settles a batch: acknowledgements in one call, changes of leases in one for each length, side by side.
    pub(super) async fn settle_batch(&self, batch: &mut [Settlement<PubsubReceipt>]) -> Result<(), Error> {
        let now = Instant::now();
        let mut plan = self.plan(batch, now);
        self.bury(batch, &mut plan).await;
        let Plan { acks, changes, .. } = plan;
        let mut calls: Vec<BoxFuture<'_, Answer>> = Vec::new();
        for part in parts(acks) {
            calls.push(Box::pin(async move {
                let answer = acknowledge(self, &receipts_of(&part)).await;
                (part, answer)
            }));
        }
        for (seconds, part) in
            changes.into_iter().flat_map(|(seconds, all)| parts(all).map(move |part| (seconds, part)))
        {
            calls.push(Box::pin(async move {
                let answer = modify(self, &receipts_of(&part), seconds).await;
                (part, answer)
            }));
        }
        let answers = iter(calls).buffer_unordered(CALLS).collect::<Vec<_>>().await;
        let mut failure = None;
        for (part, answer) in answers {
            match answer {
                Ok(results) => {
                    for ((place, _), result) in part.into_iter().zip(results) {
                        if let Some(place) = place {
                            batch[place].result = result;
                        }
                    }
                }
                Err(error) => drop(failure.get_or_insert(error)),
            }
        }
        self.follow_up(batch, now).await;
        failure.map_or(Ok(()), Err)
    }

    fn plan(&self, batch: &mut [Settlement<PubsubReceipt>], now: Instant) -> Plan {
        let mut plan = Plan::default();
        for (place, settlement) in batch.iter_mut().enumerate().filter(|(_, entry)| entry.result.is_pending()) {
            let receipt = &settlement.receipt;
            if settlement.action != Action::Forget && receipt.lease().is_over(now) {
                settlement.result = SettleResult::Lost;
                continue;
            }
            let left = self.options.max_hold.saturating_sub(receipt.lease().age(now));
            match &settlement.action {
                Action::Ack => plan.acks.push((Some(place), receipt.clone())),
                Action::Retry { .. } | Action::Release if stays_here(receipt) => {
                    plan.change(place, receipt, self.options.lease);
                }
                Action::Retry { delay, .. } => plan.put_back(place, receipt, *delay),
                Action::Release => plan.put_back(place, receipt, Duration::ZERO),
                Action::Extend { by } if *by > left => settlement.result = SettleResult::Failed(self.held_too_long()),
                Action::Extend { by } => plan.change(place, receipt, (*by).max(Duration::from_secs(1))),
                Action::DeadLetter { reason } => plan.burials.push((place, Arc::clone(reason))),
                _ => settlement.result = SettleResult::Done,
            }
        }
        plan
    }

    /// Sends dead letters to their topic; those that arrived are to be acknowledged here.
    async fn bury(&self, batch: &mut [Settlement<PubsubReceipt>], plan: &mut Plan) {
        if plan.burials.is_empty() {
            return;
        }
        let Some(dead) = &self.dead else {
            for (place, _) in plan.burials.drain(..) {
                batch[place].result = SettleResult::Failed(self.no_dead_letter());
            }
            return;
        };
        let mut burials = Burials::new("subscription", self.target.name(), PubsubReceipt::lease);
        let letters = burials.letters(batch, plan.burials.drain(..));
        let sent = if letters.is_empty() { Vec::new() } else { dead.bury(&letters).await };
        for place in burials.conclude(batch, sent) {
            plan.acks.push((Some(place), batch[place].receipt.clone()));
        }
    }

    /// Brings receipts, keys and counts up to date with what came of it.
    async fn follow_up(&self, batch: &[Settlement<PubsubReceipt>], now: Instant) {
        let mut back = Vec::new();
        for Settlement { receipt, action, result, .. } in batch {
            match (action, result) {
                (Action::Extend { by }, SettleResult::Done) => receipt.lease().extend(now + *by),
                (Action::Forget, _) | (_, SettleResult::Lost) => {
                    self.tally.failed(receipt.message());
                    receipt.lease().end();
                    // It will come again, and those behind it must not come before.
                    back.extend(receipt.stock().into_iter().flat_map(|stock| stock.take_followers(receipt)));
                }
                (Action::Retry { delay, .. }, SettleResult::Done) => {
                    self.tally.failed(receipt.message());
                    back.extend(self.put_aside(receipt, now, (*delay).min(MAX_LEASE)));
                }
                (Action::Release, SettleResult::Done) => back.extend(self.put_aside(receipt, now, Duration::ZERO)),
                (_, SettleResult::Done) => {
                    self.tally.done(receipt.message());
                    receipt.lease().end();
                    back.extend(receipt.stock().into_iter().flat_map(|stock| stock.advance(receipt)));
                }
                _ => {}
            }
        }
        if !back.is_empty() {
            self.release(&back).await;
        }
    }

    /// Has a message handed out here again, if it stays here. Answers with what has to go back after all.
    fn put_aside(&self, receipt: &PubsubReceipt, now: Instant, delay: Duration) -> Vec<PubsubReceipt> {
        let stays = receipt.key().and_then(|_| receipt.stock()).filter(|stock| stock.leads(receipt));
        let Some(stock) = stays else {
            if !delay.is_zero() {
                receipt.stock().into_iter().for_each(|stock| stock.put_off(now + delay));
            }
            receipt.lease().end();
            return Vec::new();
        };
        receipt.lease().extend(now + self.options.lease);
        stock.again(receipt, now + delay)
    }

    fn held_too_long(&self) -> Error {
        let text = format!(
            "message of subscription {} cannot be held for more than {:?}; raise `max_hold`",
            self.target.name(),
            self.options.max_hold
        );
        Error::new(ErrorKind::Unsupported, text)
    }

    fn no_dead_letter(&self) -> Error {
        let text = format!("subscription {} has no dead letter; give it one with `dead_letter`", self.target.name());
        Error::new(ErrorKind::Unsupported, text)
    }
}

impl Plan {
    fn change(&mut self, place: usize, receipt: &PubsubReceipt, time: Duration) {
        self.changes.entry(whole_seconds(time)).or_default().push((Some(place), receipt.clone()));
    }

    /// Puts a delivery back, and behind it those of its key that wait for it here, for as long: they must not come
    /// before it.
    fn put_back(&mut self, place: usize, receipt: &PubsubReceipt, delay: Duration) {
        self.change(place, receipt, delay);
        let followers = receipt.stock().into_iter().flat_map(|stock| stock.take_followers(receipt));
        let part = self.changes.entry(whole_seconds(delay)).or_default();
        part.extend(followers.map(|follower| (None, follower)));
    }
}

/// Whether a message that is not done is handed out again by the consumer that got it. Where order is kept it is: back
/// with Pub/Sub, it would come after what is behind it.
fn stays_here(receipt: &PubsubReceipt) -> bool {
    receipt.key().is_some() && receipt.stock().is_some_and(|stock| stock.is_open())
}

/// Whole seconds, never fewer than asked for, and no more than Pub/Sub takes.
pub(super) fn whole_seconds(time: Duration) -> i32 {
    let time = time.min(MAX_LEASE);
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

/// A part for each call.
fn parts(mut all: Part) -> impl Iterator<Item = Part> {
    std::iter::from_fn(move || {
        let rest = all.split_off(all.len().min(MAX_IDS));
        let part = std::mem::replace(&mut all, rest);
        (!part.is_empty()).then_some(part)
    })
}

fn receipts_of(part: &Part) -> Vec<PubsubReceipt> {
    part.iter().map(|(_, receipt)| receipt.clone()).collect()
}
