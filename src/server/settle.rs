//! Settling: what is to be told a queue is collected while the last call is under way, and told again until
//! it got through.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chappe_core::backend::{Action, Queue, SettleResult, Settlement};
use chappe_core::{Error, ErrorKind, Message, MessageId};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Backoff;
use super::shared::Shared;

/// How many calls to one queue may be under way: enough to hide the way to a distant broker.
const MAX_CALLS: usize = 8;

/// How long a failed settlement waits.
const AGAIN: Backoff = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(5));

/// The settlements that wait for the next call.
pub(super) struct SettleQueue<R> {
    waiting: Mutex<Waiting<R>>,
    bell: Notify,
}

struct Waiting<R> {
    dues: Dues<R>,
    closing: bool,
}

/// Settlements, and what is needed to follow them up. Two lists, as a queue is given the first as it is.
pub(super) struct Dues<R> {
    settlements: Vec<Settlement<R>>,
    tickets: Vec<Ticket>,
}

/// What is needed to follow up a settlement.
pub(super) struct Ticket {
    /// Of a lease that is renewed: where its slot is. There is none any more when a message is settled.
    pub(super) key: Option<usize>,
    pub(super) delivery: u64,
    pub(super) line: usize,
    pub(super) id: Option<MessageId>,
    pub(super) until: Option<Instant>,
    pub(super) tries: u32,
}

impl<R> Dues<R> {
    #[inline]
    pub(super) fn push(&mut self, receipt: R, action: Action, message: Option<Message>, ticket: Ticket) {
        let mut settlement = Settlement::new(receipt, action);
        settlement.message = message.map(Box::new);
        self.put((settlement, ticket));
    }

    fn put(&mut self, (settlement, ticket): (Settlement<R>, Ticket)) {
        self.settlements.push(settlement);
        self.tickets.push(ticket);
    }

    pub(super) fn len(&self) -> usize {
        self.tickets.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    /// Moves up to `max` of them to `batch`, which is empty; in the common case, where those are all,
    /// without copying any.
    fn split_to(&mut self, max: usize, batch: &mut Self) {
        if self.len() <= max {
            std::mem::swap(self, batch);
        } else {
            batch.settlements.extend(self.settlements.drain(..max));
            batch.tickets.extend(self.tickets.drain(..max));
        }
    }

    /// Adds `more`, and leaves it empty.
    fn append(&mut self, more: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, more);
        } else {
            self.settlements.append(&mut more.settlements);
            self.tickets.append(&mut more.tickets);
        }
    }

    /// Takes out those of one queue.
    pub(super) fn of_line(&mut self, line: usize) -> Self {
        let all = std::mem::take(self);
        let mut own = Self::default();
        for due in all {
            if due.1.line == line { own.put(due) } else { self.put(due) }
        }
        own
    }
}

impl<R> Default for Dues<R> {
    fn default() -> Self {
        Self { settlements: Vec::new(), tickets: Vec::new() }
    }
}

impl<R> IntoIterator for Dues<R> {
    type Item = (Settlement<R>, Ticket);
    type IntoIter = std::iter::Zip<std::vec::IntoIter<Settlement<R>>, std::vec::IntoIter<Ticket>>;

    fn into_iter(self) -> Self::IntoIter {
        self.settlements.into_iter().zip(self.tickets)
    }
}

impl<R> SettleQueue<R> {
    pub(super) fn new() -> Self {
        Self { waiting: Mutex::new(Waiting { dues: Dues::default(), closing: false }), bell: Notify::new() }
    }

    /// Adds settlements, and leaves `dues` empty. Their number is bounded by the schedule, which lets
    /// nothing be fetched while too many are under way.
    pub(super) fn push(&self, dues: &mut Dues<R>) {
        if dues.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = waiting.dues.is_empty();
        waiting.dues.append(dues);
        drop(waiting);
        if was_empty {
            self.bell.notify_one();
        }
    }

    /// Nothing more will come: the settler ends when all is settled.
    pub(super) fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).closing = true;
        self.bell.notify_one();
    }

    /// Moves what waits to `ready`, and says whether that was the last.
    fn collect(&self, ready: &mut Dues<R>) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        ready.append(&mut waiting.dues);
        waiting.closing
    }
}

/// Settles for one queue until its [`SettleQueue`] is closed and empty, or settling is given up.
pub(super) async fn run<Q: Queue>(shared: Arc<Shared<Q>>, line: usize) {
    let source = &shared.sources[line];
    let capabilities = source.queue.capabilities();
    let give_up = shared.give_up.token();
    let mut calls = FuturesUnordered::new();
    let mut tickets: HashMap<u64, Vec<Ticket>> = HashMap::new();
    let mut ready: Dues<Q::Receipt> = Dues::default();
    let mut again: Again<Q::Receipt> = BTreeMap::new();
    let mut spare: Vec<Dues<Q::Receipt>> = Vec::new();
    let mut number = 0;
    let mut linger_until = None;
    loop {
        let now = Instant::now();
        while let Some(entry) = again.first_entry().filter(|entry| entry.key().0 <= now) {
            ready.put(entry.remove());
        }
        let closing = source.settle.collect(&mut ready);
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
            calls.push(call(Arc::clone(&shared), line, number, batch.settlements));
        }
        if closing && ready.is_empty() && calls.is_empty() && again.is_empty() {
            return;
        }
        // What waits to be told again has a time; what just waits for company has another.
        let next = again.keys().next().map(|(due, _)| *due).into_iter().chain(linger_until).min();
        tokio::select! {
            Some(answer) = calls.next(), if !calls.is_empty() => {
                let tickets = tickets.remove(&answer.number).expect("every call has its tickets");
                spare.push(follow_up(&shared, line, answer, tickets, &mut again));
            }
            () = source.settle.bell.notified() => {}
            () = sleep_until(next.unwrap_or(now)), if next.is_some() => {}
            () = give_up.stopped() => break,
        }
    }
    source.settle.collect(&mut ready);
    let waiting = ready.into_iter().chain(again.into_values()).filter(|(settlement, _)| settlement.action.is_final());
    let called = tickets.into_values().flatten().filter(|ticket| ticket.key.is_none());
    let left: Vec<Ticket> = waiting.map(|(_, ticket)| ticket).chain(called).collect();
    shared.control.meters.unsettled.add(left.len() as u64);
    shared.leftover().unsettled.extend(left.into_iter().filter_map(|ticket| ticket.id));
}

/// What is to be told again, by when and by its number.
type Again<R> = BTreeMap<(Instant, u64), (Settlement<R>, Ticket)>;

/// A call that was answered.
struct Answer<R> {
    number: u64,
    batch: Vec<Settlement<R>>,
    result: Result<(), Error>,
    sent: Instant,
}

async fn call<Q: Queue>(
    shared: Arc<Shared<Q>>,
    line: usize,
    number: u64,
    mut batch: Vec<Settlement<Q::Receipt>>,
) -> Answer<Q::Receipt> {
    let sent = Instant::now();
    let result = shared.sources[line].queue.settle(&mut batch).await;
    Answer { number, batch, result, sent }
}

/// Counts what was done and has the rest told again. Returns the storage, to be used again.
fn follow_up<Q: Queue>(
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
