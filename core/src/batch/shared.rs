//! What the handles of one batching topic and its workers share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::Options;
use super::queue::{Flight, Queue, Reply, Ticket};
use super::verdict::Backoff;
use crate::backend::Publisher;
use crate::{Error, Message};

pub(super) struct Shared<P> {
    pub(super) publisher: Arc<P>,
    pub(super) options: Options,
    /// A permit for each message there is room for.
    pub(super) room: Arc<Semaphore>,
    /// Wakes a worker that waits for a retry.
    pub(super) wake: Notify,
    settled: Notify,
    state: Mutex<State>,
}

/// What the queue needs besides the workers it has.
#[must_use]
pub(super) enum Wanted {
    Nothing,
    Wake,
    /// One more worker, which is counted already.
    Worker,
}

/// What a worker is to do next.
pub(super) enum Next {
    Publish,
    Wait(Instant),
    /// The worker is no longer counted.
    End,
}

/// Whether a call got anything through.
#[derive(Clone, Copy)]
pub(super) enum Progress {
    Some,
    None { backoff: Backoff, asked: Option<Duration> },
}

#[derive(Default)]
struct State {
    queue: Queue,
    /// Permits that are not handed back while too many bytes are pending.
    withheld: usize,
    workers: usize,
    sleeping: usize,
    /// A worker has found nothing it may publish beside the calls under way.
    blocked: bool,
    /// Nothing got through lately: nothing is tried before.
    pause: Option<Instant>,
    failures: u32,
}

impl<P: Publisher> Shared<P> {
    pub(super) fn new(publisher: Arc<P>, options: Options) -> Self {
        Self {
            publisher,
            options,
            room: Arc::new(Semaphore::new(options.max_pending)),
            wake: Notify::new(),
            settled: Notify::new(),
            state: Mutex::default(),
        }
    }

    /// Queues a message.
    pub(super) fn push(&self, permit: OwnedSemaphorePermit, message: Message, reply: Reply) -> Wanted {
        let bytes = message.size_bytes();
        let mut state = self.lock();
        let seq = self.admit(&mut state, permit, bytes);
        // The clock is read under the lock, so that deadlines are in the order of the queue.
        let deadline = Instant::now() + self.options.timeout;
        state.queue.insert(Ticket::new(seq, bytes, deadline, reply), message);
        self.wanted(&mut state)
    }

    /// Counts a message that is not queued, until [`leave`](Self::leave).
    pub(super) fn enter(&self, permit: OwnedSemaphorePermit, bytes: usize) -> u64 {
        let mut state = self.lock();
        let seq = self.admit(&mut state, permit, bytes);
        state.queue.begin(seq);
        seq
    }

    /// Takes back what [`enter`](Self::enter) counted.
    pub(super) fn leave(&self, seq: u64, bytes: usize) {
        let mut state = self.lock();
        state.queue.end(seq, bytes);
        self.unlock(state);
    }

    /// Tells a worker what to do next. What it is to publish is put into `flight`, which is empty.
    pub(super) fn next(&self, flight: &mut Flight, was_asleep: bool) -> (Next, Wanted) {
        let mut state = self.lock();
        let now = Instant::now();
        state.sleeping -= usize::from(was_asleep);
        state.pause = state.pause.filter(|&until| until > now);
        state.queue.expire(now);
        let next = self.choose(&mut state, flight, now);
        let mut wanted = Wanted::Nothing;
        match next {
            Next::Publish => wanted = self.wanted(&mut state),
            Next::Wait(_) => state.sleeping += 1,
            Next::End => state.workers -= 1,
        }
        self.unlock(state);
        (next, wanted)
    }

    /// Ends a call: messages without an answer are queued again.
    pub(super) fn finish(&self, flight: &mut Flight, progress: Progress) {
        let mut state = self.lock();
        state.blocked = false;
        match progress {
            Progress::Some => (state.failures, state.pause) = (0, None),
            Progress::None { backoff, asked } => {
                state.failures = state.failures.saturating_add(1);
                state.pause = Some(backoff.due(state.failures, asked));
            }
        }
        state.queue.arrive(flight);
        self.unlock(state);
    }

    /// Ends a worker that was dropped by its runtime. The last one fails what is queued, as nobody would
    /// come for it.
    pub(super) fn abort(&self, flight: &mut Flight, asleep: bool, error: impl Fn() -> Error) {
        let mut state = self.lock();
        state.sleeping -= usize::from(asleep);
        state.workers -= 1;
        state.blocked = false;
        state.queue.arrive(flight);
        while state.workers == 0 && !state.queue.is_empty() {
            state.queue.fail_first(|_| error());
        }
        self.unlock(state);
    }

    pub(super) async fn flush(&self) {
        let last = self.lock().queue.last();
        loop {
            // Before looking, so that what settles in between is heard of.
            let settled = self.settled.notified();
            if self.lock().queue.is_settled(last) {
                return;
            }
            settled.await;
        }
    }

    fn choose(&self, state: &mut State, flight: &mut Flight, now: Instant) -> Next {
        let capabilities = self.publisher.publish_capabilities();
        // Whoever is under way comes for what does not fill a call.
        let others = state.workers - state.sleeping > 1;
        if others && !state.queue.is_empty() && !state.queue.fills(capabilities) {
            return Next::End;
        }
        if state.pause.is_none() {
            state.queue.take(capabilities, now, flight);
        }
        if !flight.batch.is_empty() {
            state.queue.depart(flight, self.options.max_in_flight > 1);
            state.blocked = false;
            return Next::Publish;
        }
        match (state.queue.earliest_deadline(), state.pause.or_else(|| state.queue.earliest_retry(now))) {
            (Some(deadline), Some(until)) => Next::Wait(deadline.min(until)),
            // Whatever is queued has a key that is under way: the worker of that call will come for it.
            _ => {
                state.blocked = true;
                Next::End
            }
        }
    }

    fn wanted(&self, state: &mut State) -> Wanted {
        if state.queue.is_empty() || state.pause.is_some() && state.workers > 0 {
            return Wanted::Nothing;
        }
        if state.sleeping > 0 {
            return Wanted::Wake;
        }
        let full = || state.queue.fills(self.publisher.publish_capabilities());
        if state.workers == 0 || state.workers < self.options.max_in_flight && !state.blocked && full() {
            state.workers += 1;
            return Wanted::Worker;
        }
        Wanted::Nothing
    }

    /// Counts a message, and closes the door behind it if it is over the limit of bytes.
    fn admit(&self, state: &mut State, permit: OwnedSemaphorePermit, bytes: usize) -> u64 {
        permit.forget();
        let seq = state.queue.admit(bytes);
        if self.is_over(state) {
            state.withheld += self.room.forget_permits(usize::MAX);
        }
        seq
    }

    fn is_over(&self, state: &State) -> bool {
        state.queue.pending_bytes() >= self.options.max_pending_bytes
    }

    /// Releases the lock, and tells whom it concerns what has become free.
    fn unlock(&self, mut state: MutexGuard<'_, State>) {
        state.withheld += state.queue.take_gone();
        let free = if self.is_over(&state) { 0 } else { std::mem::take(&mut state.withheld) };
        drop(state);
        self.room.add_permits(free);
        self.settled.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
