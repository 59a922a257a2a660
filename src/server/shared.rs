//! [`Shared`], what the tasks of one server share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chappe_core::backend::{Action, Queue, StopSource};
use chappe_core::{Message, MessageId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::handle::{Control, Probe, State};
use super::options::Options;
use super::schedule::{Schedule, Slot, Unstarted};
use super::settle::{Dues, SettleQueue, Ticket, settle_at_once};
use super::verdict::{Judge, Verdict};

/// What the tasks of one server share.
pub(super) struct Shared<Q: Queue> {
    pub(super) options: Options,
    pub(super) sources: Vec<Source<Q>>,
    pub(super) control: Arc<Control>,
    /// Raised when nothing more is to be fetched.
    pub(super) stop: StopSource,
    /// Raised at the deadline of a shutdown, when handlers are cancelled.
    pub(super) abort: StopSource,
    /// Raised when settling is given up.
    pub(super) give_up: StopSource,
    /// Wakes whoever adds workers.
    pub(super) foreman: Arc<Notify>,
    /// Wakes whoever looks after leases and what waits for its time.
    pub(super) timekeeper: Arc<Notify>,
    pub(super) leftover: Mutex<Leftover>,
    schedule: Mutex<Schedule<Q::Receipt>>,
    draining: AtomicBool,
    unconnected: AtomicUsize,
}

/// A queue that is served.
pub(super) struct Source<Q: Queue> {
    pub(super) queue: Q,
    pub(super) judge: Judge,
    pub(super) settle: SettleQueue<Q::Receipt>,
}

/// The messages a shutdown could not bring to a good end.
#[derive(Default)]
pub(super) struct Leftover {
    pub(super) aborted: Vec<MessageId>,
    pub(super) unsettled: Vec<MessageId>,
}

/// A delivery that was handled, and what is to be done with it.
pub(super) struct Finished {
    pub(super) key: usize,
    pub(super) verdict: Verdict,
    /// Where the judge needs it.
    pub(super) message: Option<Message>,
}

impl<Q: Queue> Shared<Q> {
    pub(super) fn new(options: Options, queues: Vec<(Q, u32)>, control: Arc<Control>) -> Self {
        let (foreman, timekeeper) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let terms = queues.iter().map(|(queue, weight)| (queue.capabilities(), *weight));
        let schedule = Schedule::new(&options, terms, Arc::clone(&foreman), Arc::clone(&timekeeper));
        let unconnected = AtomicUsize::new(queues.len());
        let sources = queues
            .into_iter()
            .map(|(queue, _)| Source {
                judge: Judge::new(&options, queue.capabilities()),
                settle: SettleQueue::new(),
                queue,
            })
            .collect();
        Self {
            options,
            sources,
            control,
            stop: StopSource::new(),
            abort: StopSource::new(),
            give_up: StopSource::new(),
            foreman,
            timekeeper,
            leftover: Mutex::default(),
            schedule: Mutex::new(schedule),
            draining: AtomicBool::new(false),
            unconnected,
        }
    }

    pub(super) fn schedule(&self) -> MutexGuard<'_, Schedule<Q::Receipt>> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn leftover(&self) -> MutexGuard<'_, Leftover> {
        self.leftover.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing new is started any more.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Takes note that one more queue is connected.
    pub(super) fn connected(&self) {
        if self.unconnected.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.control.enter(State::Serving);
        }
    }

    /// Stops fetching and gives back what was not started.
    pub(super) fn drain(self: &Arc<Self>) {
        self.draining.store(true, Ordering::Relaxed);
        self.stop.stop();
        let unstarted = self.schedule().drain();
        self.release(unstarted);
    }

    /// Gives deliveries back without blame.
    pub(super) fn release(self: &Arc<Self>, slots: Vec<Slot<Q::Receipt>>) {
        let mut dues = Dues::default();
        slots.into_iter().for_each(|slot| owe(&mut dues, slot, Action::Release, None));
        self.submit(&mut dues);
    }

    /// Settles what was sorted out before anybody handled it.
    pub(super) fn sort_out(self: &Arc<Self>, unstarted: &mut Unstarted<Q::Receipt>) {
        let Unstarted { lost, handled_before, released } = unstarted;
        if lost.is_empty() && handled_before.is_empty() && released.is_empty() {
            return;
        }
        self.control.meters.leases_lost.add(lost.iter().filter(|slot| !slot.lost).count() as u64);
        self.control.meters.acked_again.add(handled_before.len() as u64);
        let mut dues = Dues::default();
        for (slots, action) in [(lost, Action::Forget), (handled_before, Action::Ack), (released, Action::Release)] {
            slots.drain(..).for_each(|slot| owe(&mut dues, slot, action.clone(), None));
        }
        self.submit(&mut dues);
    }

    /// Ends deliveries in the schedule; what is to be told the queues is added to `dues`.
    pub(super) fn complete(
        &self,
        schedule: &mut Schedule<Q::Receipt>,
        acked: &mut Vec<usize>,
        finished: &mut Vec<Finished>,
        dues: &mut Dues<Q::Receipt>,
    ) {
        for key in acked.drain(..) {
            conclude(schedule, key, Action::Ack, None, dues);
        }
        for Finished { key, verdict, message } in finished.drain(..) {
            let action = match verdict {
                Verdict::Settle(action) => action,
                Verdict::Hold { delay, open } => match message {
                    Some(message) if !self.is_draining() && !schedule.is_lost(key) => {
                        self.control.meters.retried.add(1);
                        schedule.hold(key, message, after(delay), open);
                        continue;
                    }
                    _ => Action::Retry { delay, reason: None },
                },
                Verdict::Abort => {
                    self.control.meters.aborted.add(1);
                    self.leftover().aborted.extend(schedule.id(key));
                    Action::Release
                }
                Verdict::Throttle(pause) => {
                    self.control.meters.throttled.add(1);
                    schedule.pause(after(pause));
                    Action::Release
                }
            };
            conclude(schedule, key, action, message, dues);
        }
        schedule.use_room();
    }

    /// Settles what can be settled at once, hands the rest to the settlers, and leaves `dues` empty.
    pub(super) fn submit(self: &Arc<Self>, dues: &mut Dues<Q::Receipt>) {
        if self.sources.len() == 1 {
            return self.submit_to(0, dues);
        }
        for line in 0..self.sources.len() {
            self.submit_to(line, &mut dues.of_line(line));
        }
    }

    /// Hands all of it to the settlers, as somebody must who ends and may not settle any more himself.
    pub(super) fn leave(&self, dues: &mut Dues<Q::Receipt>) {
        for (line, source) in self.sources.iter().enumerate() {
            source.settle.push(&mut dues.of_line(line));
        }
    }

    fn submit_to(self: &Arc<Self>, line: usize, dues: &mut Dues<Q::Receipt>) {
        let Source { queue, settle, .. } = &self.sources[line];
        if queue.capabilities().settles_at_once { settle_at_once(self, line, dues) } else { settle.push(dues) }
    }
}

impl<Q: Queue> Probe for Shared<Q> {
    fn load(&self) -> (usize, Option<Duration>) {
        let (count, oldest) = self.schedule().load();
        (count, oldest.map(|received| received.elapsed()))
    }
}

/// Ends a delivery in the schedule, and adds what is to be told its queue.
#[inline]
fn conclude<R: Clone>(
    schedule: &mut Schedule<R>,
    key: usize,
    action: Action,
    message: Option<Message>,
    dues: &mut Dues<R>,
) {
    let Some(slot) = schedule.finish(key) else { return };
    if !slot.lost {
        return owe(dues, slot, action, message);
    }
    if let (Action::Ack, Some(id)) = (&action, &slot.id) {
        schedule.remember(slot.line, id.clone());
    }
    owe(dues, slot, Action::Forget, None);
}

#[inline]
fn owe<R>(dues: &mut Dues<R>, slot: Slot<R>, action: Action, message: Option<Message>) {
    let Slot { receipt, delivery, line, id, until, .. } = slot;
    dues.push(receipt, action, message, Ticket { key: None, delivery, line, id, until, tries: 0 });
}

/// The instant after a delay; one too far off is as good as a year.
fn after(delay: Duration) -> Instant {
    Instant::now() + delay.min(Duration::from_secs(365 * 24 * 3600))
}
