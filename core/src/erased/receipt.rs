//! [`Slot`], the receipt of an erased queue, and the table that keeps the concrete ones.

use std::sync::{Mutex, MutexGuard, PoisonError};

use slab::Slab;

use crate::backend::{Action, Delivery, SettleResult, Settlement};

/// The receipt of a [`DynQueue`](super::DynQueue): where the receipt of the queue behind it is kept.
///
/// It goes stale when the delivery is settled for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    index: usize,
    /// Never used twice, so that a stale slot does not name its successor.
    generation: u64,
}

/// The concrete receipts of what an erased queue has delivered and not settled.
pub(super) struct Receipts<R>(Mutex<Table<R>>);

struct Table<R> {
    held: Slab<(u64, R)>,
    generation: u64,
}

impl<R: Clone> Receipts<R> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Table { held: Slab::new(), generation: 0 }))
    }

    /// Moves deliveries, keeping their receipts here.
    pub(super) fn keep(&self, deliveries: &mut Vec<Delivery<R>>, out: &mut Vec<Delivery<Slot>>) {
        let mut table = self.lock();
        out.extend(deliveries.drain(..).map(|Delivery { message, receipt, lease_until, lane }| {
            table.generation += 1;
            let generation = table.generation;
            let index = table.held.insert((generation, receipt));
            Delivery { message, receipt: Slot { index, generation }, lease_until, lane }
        }));
    }

    /// Translates settlements, and the place each came from. Those of a stale slot are lost.
    pub(super) fn translate(&self, batch: &mut [Settlement<Slot>]) -> (Vec<usize>, Vec<Settlement<R>>) {
        let table = self.lock();
        let mut places = Vec::with_capacity(batch.len());
        let mut concrete = Vec::with_capacity(batch.len());
        for (place, settlement) in batch.iter_mut().enumerate() {
            let Some(receipt) = table.get(settlement.receipt) else {
                settlement.result = SettleResult::Lost;
                continue;
            };
            places.push(place);
            concrete.push(Settlement {
                receipt: receipt.clone(),
                // Cloned, not moved: what is left pending is passed again.
                action: settlement.action.clone(),
                message: settlement.message.clone(),
                result: std::mem::replace(&mut settlement.result, SettleResult::Pending),
            });
        }
        (places, concrete)
    }

    /// Brings the results back, and forgets the receipts of what is settled for good.
    pub(super) fn bring_back(&self, batch: &mut [Settlement<Slot>], places: &[usize], concrete: Vec<Settlement<R>>) {
        let mut table = self.lock();
        for (&place, done) in places.iter().zip(concrete) {
            let settlement = &mut batch[place];
            settlement.result = done.result;
            if is_over(&settlement.action, &settlement.result) && table.get(settlement.receipt).is_some() {
                table.held.remove(settlement.receipt.index);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Table<R> {
    fn get(&self, slot: Slot) -> Option<&R> {
        self.held.get(slot.index).filter(|(generation, _)| *generation == slot.generation).map(|(_, receipt)| receipt)
    }
}

/// Whether nothing more will be heard of a delivery.
fn is_over(action: &Action, result: &SettleResult) -> bool {
    match result {
        SettleResult::Pending => false,
        SettleResult::Done | SettleResult::Lost => action.is_final(),
        SettleResult::Failed(_) => *action == Action::Forget,
    }
}
