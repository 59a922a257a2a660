//! Settling: what is to be told a queue is collected while the last call is under way, and told again until
//! it got through.

use std::collections::HashMap;
use std::sync::Arc;

use chappe_core::backend::Queue;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::shared::Shared;

mod call;
mod due;
mod queue;

pub(super) use call::settle_at_once;
pub(super) use due::{Dues, Ticket};
pub(super) use queue::SettleQueue;

use call::{Again, Answer, Call, call, follow_up};

/// How many calls to one queue may be under way: enough to hide the way to a distant broker.
const MAX_CALLS: usize = 8;

/// Settles for one queue until its [`SettleQueue`] is closed and empty, or settling is given up.
pub(super) async fn run<Q: Queue>(shared: Arc<Shared<Q>>, line: usize) {
    let source = &shared.sources[line];
    let capabilities = source.queue.capabilities();
    let give_up = shared.give_up.token();
    let mut calls = FuturesUnordered::new();
    let mut begun = Vec::new();
    let mut tickets: HashMap<u64, Vec<Ticket>> = HashMap::new();
    let mut ready: Dues<Q::Receipt> = Dues::default();
    let mut again: Again<Q::Receipt> = Again::new();
    let mut spare: Vec<Dues<Q::Receipt>> = Vec::new();
    let mut number = 0;
    let mut linger_until = None;
    loop {
        let now = Instant::now();
        let closing = source.settle.collect(&mut ready, &mut again, &mut begun);
        while let Some(entry) = again.first_entry().filter(|entry| entry.key().0 <= now) {
            ready.put(entry.remove());
        }
        for (call, own) in begun.drain(..) {
            number += 1;
            tickets.insert(number, own);
            calls.push(under(number, call));
        }
        while !ready.is_empty() && calls.len() < MAX_CALLS {
            let lingers = ready.len() < capabilities.max_settle_batch && !closing;
            if lingers && *linger_until.get_or_insert(now + capabilities.settle_linger) > now {
                break;
            }
            linger_until = None;
            let mut batch = spare.pop().unwrap_or_default();
            ready.split_to(capabilities.max_settle_batch, &mut batch);
            number += 1;
            tickets.insert(number, batch.tickets);
            calls.push(under(number, call(&shared, line, batch.settlements)));
        }
        if closing && ready.is_empty() && calls.is_empty() && again.is_empty() {
            return;
        }
        // What waits to be told again has a time; what just waits for company has another.
        let next = again.keys().next().map(|(due, _)| *due).into_iter().chain(linger_until).min();
        tokio::select! {
            Some((number, answer)) = calls.next(), if !calls.is_empty() => {
                let own = tickets.remove(&number).expect("every call has its tickets");
                spare.push(follow_up(&shared, line, answer, own, &mut again));
            }
            () = source.settle.bell.notified() => {}
            () = sleep_until(next.unwrap_or(now)), if next.is_some() => {}
            () = give_up.stopped() => break,
        }
    }
    source.settle.collect(&mut ready, &mut again, &mut begun);
    tickets.extend(begun.into_iter().map(|(_, own)| {
        number += 1;
        (number, own)
    }));
    let waiting = ready.into_iter().chain(again.into_values()).filter(|(settlement, _)| settlement.action.is_final());
    let called = tickets.into_values().flatten().filter(|ticket| ticket.key.is_none());
    let left: Vec<Ticket> = waiting.map(|(_, ticket)| ticket).chain(called).collect();
    shared.control.meters.unsettled.add(left.len() as u64);
    shared.leftover().unsettled.extend(left.into_iter().filter_map(|ticket| ticket.id));
}

/// A call, with the number its tickets are kept under.
async fn under<R>(number: u64, call: Call<R>) -> (u64, Answer<R>) {
    (number, call.await)
}
