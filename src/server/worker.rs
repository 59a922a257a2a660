//! [`Worker`], which handles messages one after the other.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use chappe_core::backend::{Action, Queue};
use chappe_core::{IntoOutcome, LeaseControl, Message, Outcome, Receiver};
use tokio::time::Instant;
use tracing::Span;

use super::hands::Hands;
use super::instance::{End, Instance, finish_call, guard, poll_call};
use super::schedule::{Holder, Job, Task, Turn};
use super::shared::{Finished, Shared};
use super::verdict::Verdict;

/// How much work a worker takes in one go: so much that locks and clocks do not count, and so little that
/// nothing waits for long behind a handler that turns out to be slow.
const GO: Duration = Duration::from_micros(50);

/// The most messages in one go.
const MAX_GO: usize = 256;

/// After how many messages that never waited a worker lets others have the thread.
const MAX_STRETCH: usize = 256;

/// Handles messages one after the other with a service of its own.
///
/// As long as handlers finish without waiting, a worker takes a few messages in one go and pays neither a
/// task nor an allocation for any. As soon as one waits, what was taken and not started goes back, another
/// worker goes on with it, and this one sees its handler through, as a task of its own would.
pub(super) struct Worker<Q: Queue, S: Receiver> {
    hands: Hands<Q>,
    instance: Instance<S>,
    lease: LeaseControl,
    holder: Holder,
    /// Where every call is made, so that none needs an allocation of its own.
    call: Pin<Box<Option<S::Future>>>,
    /// The message whose handler is running.
    running: Option<Running>,
    /// How many messages make a [`GO`].
    go: usize,
}

/// A message whose handler is running.
struct Running {
    key: usize,
    line: usize,
    attempt: u32,
    kept: Option<Message>,
    span: Span,
}

/// How far a go went.
enum Went {
    /// To its end. So many handlers finished without waiting.
    Through(usize),
    /// To a handler that waits, after so many that did not.
    Waits(usize),
}

impl<Q: Queue, S: Receiver> Worker<Q, S> {
    pub(super) fn new(shared: &Arc<Shared<Q>>, prototype: &Arc<Mutex<S>>) -> Self {
        let lease = LeaseControl::new(Arc::clone(&shared.timekeeper));
        Self {
            hands: Hands::new(shared),
            instance: Instance::new(prototype),
            holder: shared.schedule().enlist(lease.clone()),
            lease,
            call: Box::pin(None),
            running: None,
            go: 1,
        }
    }

    /// Works until the server drains.
    pub(super) async fn run(mut self) {
        let stop = self.hands.shared.stop.token();
        let mut stretch = 0;
        loop {
            if !self.instance.is_ready().await {
                self.hands.hand_in();
                if !self.instance.ready(&stop).await {
                    return;
                }
            }
            let began = Instant::now();
            match self.hands.turn(self.go, began, self.holder) {
                Turn::Work => {}
                Turn::Park => {
                    self.lease.finish();
                    // An idle clone must not sit on a permit somebody else waits for.
                    self.instance.renew();
                    self.hands.bell.notified().await;
                    continue;
                }
                Turn::Leave => return,
            }
            match poll_fn(|cx| Poll::Ready(self.go(cx))).await {
                Went::Waits(handled) => {
                    // Those before it finished at once: too short to count.
                    self.hands.shared.control.meters.processed(handled as u64, Duration::ZERO);
                    self.see_through().await;
                    self.go = 1;
                    stretch = 0;
                }
                Went::Through(handled) => {
                    let each = began.elapsed() / u32::try_from(handled.max(1)).unwrap_or(u32::MAX);
                    self.hands.shared.control.meters.processed(handled as u64, each);
                    self.go =
                        usize::try_from(GO.as_nanos() / each.as_nanos().max(1)).unwrap_or(MAX_GO).clamp(1, MAX_GO);
                    stretch += handled;
                }
            }
            if stretch >= MAX_STRETCH {
                stretch = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Handles what was taken, until a handler waits.
    fn go(&mut self, cx: &mut Context<'_>) -> Went {
        let mut handled = 0;
        while let Some(task) = self.hands.tasks.pop_front() {
            let ready = handled == 0 || matches!(self.instance.poll_ready(cx), Poll::Ready(true));
            if !ready || self.hands.shared.is_draining() {
                self.hands.tasks.push_front(task);
                self.hands.give_back();
                break;
            }
            match self.start(task, cx) {
                Some(Poll::Ready(end)) => {
                    self.conclude(end);
                    handled += 1;
                }
                Some(Poll::Pending) => return Went::Waits(handled),
                None => {}
            }
        }
        Went::Through(handled)
    }

    /// Calls the handler and sees how far it gets at once. `None` if it is not to be called any more.
    fn start(&mut self, task: Task, cx: &mut Context<'_>) -> Option<Poll<End<Outcome>>> {
        let Task { job: Job { mut message, key }, delivery, line, until, local_attempts } = task;
        let shared = &*self.hands.shared;
        let judge = &shared.sources[line].judge;
        let attempt = message.attempt().max(1) + local_attempts;
        if let Some(action) = judge.before(attempt) {
            let message = judge.needs_message.then_some(message);
            self.hands.finished.push(Finished { key, verdict: Verdict::Settle(action), message });
            return None;
        }
        let kept = judge.needs_message.then(|| message.clone());
        if local_attempts > 0 {
            message.set_attempt(attempt);
        }
        message.set_lease(self.lease.begin(delivery, until));
        let span = span(shared, line, &message, attempt);
        let Running { span, .. } = self.running.insert(Running { key, line, attempt, kept, span });
        let (instance, call) = (&mut self.instance, &mut self.call);
        let called = instance.call(message, span).map(|future| call.as_mut().set(Some(future)));
        Some(match called {
            Err(panic) => Poll::Ready(End::Panic(panic)),
            Ok(()) => poll_call(in_place(call), cx, span, S::Response::into_outcome),
        })
    }

    /// Waits for the handler that waits. What was not started goes back first.
    async fn see_through(&mut self) {
        let began = Instant::now();
        self.hands.give_back();
        self.hands.hand_in();
        let shared = &*self.hands.shared;
        let abort = shared.abort.token();
        let Some(Running { span, .. }) = &self.running else { return };
        let call = in_place(&mut self.call);
        let end = finish_call(call, span, S::Response::into_outcome, shared.options.timeout, &abort).await;
        shared.control.meters.processed(1, began.elapsed());
        self.conclude(end);
    }

    /// Ends the message whose handler was running.
    fn conclude(&mut self, end: End<Outcome>) {
        let end = self.clear().unwrap_or(end);
        let Some(Running { key, line, attempt, kept, span }) = self.running.take() else { return };
        if matches!(end, End::Answer(Ok(Outcome::Ack))) {
            self.hands.acked.push(key);
            return;
        }
        if matches!(end, End::Panic(_)) {
            self.instance.renew();
        }
        let verdict = conclude(&self.hands.shared, line, attempt, end, &span);
        let message = kept.filter(|_| verdict != Verdict::Settle(Action::Ack));
        self.hands.finished.push(Finished { key, verdict, message });
    }

    /// Drops the call; even that is the user's code, and may panic.
    fn clear(&mut self) -> Option<End<Outcome>> {
        let call = &mut self.call;
        guard(|| call.as_mut().set(None)).err().map(End::Panic)
    }
}

/// A worker ends with nothing in its hands, but for one that is aborted. Nothing is lost then either.
impl<Q: Queue, S: Receiver> Drop for Worker<Q, S> {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.conclude(End::Abort);
        }
        self.lease.finish();
        self.hands.shared.schedule().discharge(self.holder);
    }
}

fn in_place<F: Future>(call: &mut Pin<Box<Option<F>>>) -> Pin<&mut F> {
    call.as_mut().as_pin_mut().expect("the call was made")
}

/// What the server makes of how a call ended; counts and logs it.
pub(super) fn conclude<Q: Queue>(
    shared: &Shared<Q>,
    line: usize,
    attempt: u32,
    end: End<Outcome>,
    span: &Span,
) -> Verdict {
    let judge = &shared.sources[line].judge;
    let meters = &shared.control.meters;
    let (kind, failure) = match end {
        End::Answer(Ok(outcome)) => return judge.after(outcome, attempt, None),
        End::Abort => return Verdict::Abort,
        End::Answer(Err(error)) => {
            meters.errors.add(1);
            let outcome = Outcome::of_error(&*error);
            let failure = Outcome::describe(&*error);
            fail(span, "error");
            span.in_scope(|| tracing::warn!(error = %failure, attempt, ?outcome, "receiver failed"));
            return judge.after(outcome, attempt, Some(failure.into()));
        }
        End::Panic(text) => {
            meters.panics.add(1);
            ("panic", format!("receiver panicked: {text}"))
        }
        End::Timeout(timeout) => {
            meters.timeouts.add(1);
            ("timeout", format!("receiver took longer than {timeout:?}"))
        }
    };
    fail(span, kind);
    span.in_scope(|| tracing::error!(error = %failure, attempt, "receiver failed"));
    judge.after(Outcome::Retry, attempt, Some(failure.into()))
}

/// The span of handling one message, by OpenTelemetry's messaging conventions. Never the body.
fn span<Q: Queue>(shared: &Shared<Q>, line: usize, message: &Message, attempt: u32) -> Span {
    let queue = &shared.sources[line].queue;
    tracing::info_span!(
        target: "chappe::server",
        "process",
        otel.kind = "consumer",
        messaging.system = queue.system(),
        messaging.destination.name = queue.destination(),
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.message.id = message.id().map(tracing::field::display),
        attempt,
        error.type = tracing::field::Empty,
        otel.status_code = tracing::field::Empty,
    )
}

/// Marks a span as failed.
fn fail(span: &Span, kind: &'static str) {
    span.record("error.type", kind);
    span.record("otel.status_code", "ERROR");
}
