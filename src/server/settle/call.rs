//! A call that settles, and what comes of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use chappe_core::backend::{Action, Queue, SettleResult, Settlement};
use chappe_core::{Error, ErrorKind};
use tokio::time::Instant;

use super::due::{Dues, Ticket};
use crate::server::Backoff;
use crate::server::shared::Shared;

/// How long a failed settlement waits.
const AGAIN: Backoff = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(5));

/// What is to be told again, by when and by its number.
pub(super) type Again<R> = BTreeMap<(Instant, u64), (Settlement<R>, Ticket)>;

/// A call under way.
pub(super) type Call<R> = Pin<Box<dyn Future<Output = Answer<R>> + Send>>;

/// A call that was answered.
pub(super) struct Answer<R> {
    batch: Vec<Settlement<R>>,
    result: Result<(), Error>,
    sent: Instant,
}

/// Begins a call.
pub(super) fn call<Q: Queue>(
    shared: &Arc<Shared<Q>>,
    line: usize,
    mut batch: Vec<Settlement<Q::Receipt>>,
) -> Call<Q::Receipt> {
    let shared = Arc::clone(shared);
    Box::pin(async move {
        let sent = Instant::now();
        let result = shared.sources[line].queue.settle(&mut batch).await;
        Answer { batch, result, sent }
    })
}

/// Settles where the work was done, with a queue that settles at once: to wake somebody for that would take
/// longer than the settling. A call that has to wait after all goes on with the settler. Leaves `dues`
/// empty.
pub(in crate::server) fn settle_at_once<Q: Queue>(shared: &Arc<Shared<Q>>, line: usize, dues: &mut Dues<Q::Receipt>) {
    let source = &shared.sources[line];
    while !dues.is_empty() {
        let mut batch = Dues::default();
        dues.split_to(source.queue.capabilities().max_settle_batch, &mut batch);
        let Dues { settlements, tickets } = batch;
        let mut call = call(shared, line, settlements);
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => {
                let mut again = Again::new();
                let storage = follow_up(shared, line, answer, tickets, &mut again);
                source.settle.tell_again(again);
                if dues.is_empty() {
                    *dues = storage;
                }
            }
            // The settler polls it again, and is woken from then on.
            Poll::Pending => source.settle.go_on(call, tickets),
        }
    }
}

/// Counts what was done and has the rest told again. Returns the storage, to be used again.
pub(super) fn follow_up<Q: Queue>(
    shared: &Shared<Q>,
    line: usize,
    answer: Answer<Q::Receipt>,
    mut tickets: Vec<Ticket>,
    again: &mut Again<Q::Receipt>,
) -> Dues<Q::Receipt> {
    let Answer { mut batch, result, sent, .. } = answer;
    let meters = &shared.control.meters;
    if let Err(error) = &result {
        tracing::warn!(error = %error, queue = shared.sources[line].queue.destination(), "settling failed");
    }
    let call_retryable = result.as_ref().map_or_else(Error::is_retryable, |()| true);
    let mut counts = Counts::default();
    let mut renewals = Vec::new();
    let (mut handled, mut told) = (Vec::new(), Vec::new());
    for (mut settlement, mut ticket) in batch.drain(..).zip(tickets.drain(..)) {
        // Nearly all of them.
        if let (Action::Ack, SettleResult::Done, 0) = (&settlement.action, &settlement.result, ticket.tries) {
            counts.acked += 1;
            continue;
        }
        let outcome = std::mem::replace(&mut settlement.result, SettleResult::Pending);
        if let (Action::Extend { by }, Some(key)) = (&settlement.action, ticket.key) {
            renewals.push((key, ticket.delivery, outcome, sent + *by));
            continue;
        }
        let retryable = match &outcome {
            SettleResult::Done => {
                counts.done(&settlement.action);
                told.extend(ticket.id.filter(|_| settlement.action == Action::Ack && ticket.tries > 0));
                continue;
            }
            SettleResult::Failed(error) if error.kind() != ErrorKind::LeaseLost => {
                tracing::warn!(error = %error, id = ?ticket.id, "settlement failed");
                error.is_retryable()
            }
            SettleResult::Pending => call_retryable,
            // Lost, and whatever may be added: the delivery is not ours any more.
            _ => {
                counts.lost += 1;
                handled.extend(ticket.id.filter(|_| settlement.action == Action::Ack));
                continue;
            }
        };
        let over = ticket.until.is_some_and(|until| until <= Instant::now());
        if retryable && !over {
            ticket.tries += 1;
            // Its lease may end, and the message come again, before the next try.
            handled.extend(ticket.id.clone().filter(|_| settlement.action == Action::Ack && ticket.tries == 1));
        } else if let (Action::DeadLetter { .. }, false) = (&settlement.action, over) {
            // It stays where it is, and is tried again for ever rather than lost.
            let delay = shared.options.backoff.bound(u32::MAX);
            settlement.action = Action::Retry { delay, reason: None };
        } else {
            counts.unsettled += 1;
            if let Some(id) = ticket.id {
                if settlement.action == Action::Ack {
                    handled.push(id.clone());
                }
                // Before, it is just counted: the list would grow for as long as the server lives.
                if shared.is_draining() {
                    shared.leftover().unsettled.push(id);
                }
            }
            continue;
        }
        meters.settle_retries.add(1);
        again.insert((Instant::now() + AGAIN.delay(ticket.tries), ticket.delivery), (settlement, ticket));
    }
    counts.add_to(shared);
    let mut schedule = shared.schedule();
    for (key, delivery, outcome, until) in renewals {
        match outcome {
            SettleResult::Done => {
                meters.leases_renewed.add(1);
                schedule.renewed(key, delivery, Some(until));
            }
            SettleResult::Lost => meters.leases_lost.add(u64::from(schedule.lease_lost(key, delivery))),
            _ => schedule.renewed(key, delivery, None),
        }
    }
    handled.into_iter().for_each(|id| schedule.remember(line, id));
    told.iter().for_each(|id| schedule.forget(line, id));
    schedule.settled(line, counts.total());
    Dues { settlements: batch, tickets }
}

/// How many settlements of a call ended how.
#[derive(Default)]
struct Counts {
    acked: usize,
    retried: usize,
    released: usize,
    dead: usize,
    forgotten: usize,
    lost: usize,
    unsettled: usize,
}

impl Counts {
    fn done(&mut self, action: &Action) {
        match action {
            Action::Ack => self.acked += 1,
            Action::Retry { .. } => self.retried += 1,
            Action::Release => self.released += 1,
            Action::DeadLetter { .. } => self.dead += 1,
            _ => self.forgotten += 1,
        }
    }

    fn total(&self) -> usize {
        let Self { acked, retried, released, dead, forgotten, lost, unsettled } = self;
        acked + retried + released + dead + forgotten + lost + unsettled
    }

    fn add_to<Q: Queue>(&self, shared: &Shared<Q>) {
        let meters = &shared.control.meters;
        for (counter, count) in [
            (&meters.acked, self.acked),
            (&meters.retried, self.retried),
            (&meters.released, self.released),
            (&meters.dead_lettered, self.dead),
            (&meters.lost, self.lost),
            (&meters.unsettled, self.unsettled),
        ] {
            if count > 0 {
                counter.add(count as u64);
            }
        }
    }
}
