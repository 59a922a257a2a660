//! [`Worker`], which handles messages one after the other.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use chappe_core::backend::{Action, Queue};
use chappe_core::{IntoOutcome, LeaseControl, Message, Outcome, Receiver};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::Span;

use super::instance::{End, Instance, finish_call, poll_call};
use super::schedule::{Job, Task, Turn, Unstarted};
use super::settle::Due;
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
    shared: Arc<Shared<Q>>,
    instance: Instance<S>,
    lease: LeaseControl,
    bell: Arc<Notify>,
    tasks: VecDeque<Task>,
    finished: Vec<Finished>,
    unstarted: Unstarted<Q::Receipt>,
    dues: Vec<Due<Q::Receipt>>,
    /// The delivery whose handler is running.
    current: Option<usize>,
    /// How many messages make a [`GO`].
    go: usize,
}

impl<Q: Queue, S: Receiver> Worker<Q, S> {
    pub(super) fn new(shared: &Arc<Shared<Q>>, prototype: &Arc<Mutex<S>>) -> Self {
        Self {
            shared: Arc::clone(shared),
            instance: Instance::new(prototype),
            lease: LeaseControl::new(Arc::clone(&shared.timekeeper)),
            bell: Arc::new(Notify::new()),
            tasks: VecDeque::new(),
            finished: Vec::new(),
            unstarted: Unstarted::default(),
            dues: Vec::new(),
            current: None,
            go: 1,
        }
    }

    /// Works until the server drains.
    pub(super) async fn run(mut self) {
        let stop = self.shared.stop.token();
        let mut stretch = 0;
        loop {
            if !self.instance.is_ready().await {
                self.hand_in();
                if !self.instance.ready(&stop).await {
                    return;
                }
            }
            let began = Instant::now();
            match self.turn(began) {
                Turn::Work => {}
                Turn::Park => {
                    self.lease.finish();
                    // An idle clone must not sit on a permit somebody else waits for.
                    self.instance.renew();
                    self.bell.notified().await;
                    continue;
                }
                Turn::Leave => return,
            }
            let (handled, waited) = self.go().await;
            if waited {
                // Those before it finished at once: too short to count.
                self.shared.control.meters.processed(handled as u64, Duration::ZERO);
                self.go = 1;
                stretch = 0;
                continue;
            }
            let each = began.elapsed() / u32::try_from(handled.max(1)).unwrap_or(u32::MAX);
            self.shared.control.meters.processed(handled as u64, each);
            self.go = usize::try_from(GO.as_nanos() / each.as_nanos().max(1)).unwrap_or(MAX_GO).clamp(1, MAX_GO);
            stretch += handled;
            if stretch >= MAX_STRETCH {
                stretch = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Handles what was taken. Returns how many handlers finished without waiting, and whether one waited.
    async fn go(&mut self) -> (usize, bool) {
        let mut handled = 0;
        while let Some(task) = self.tasks.pop_front() {
            if self.shared.is_draining() || handled > 0 && !self.instance.is_ready().await {
                self.tasks.push_front(task);
                self.give_back();
                break;
            }
            match self.handle(task).await {
                Handled::AtOnce => handled += 1,
                Handled::Waited => return (handled, true),
                Handled::NotAtAll => {}
            }
        }
        (handled, false)
    }

    /// Handles one message.
    async fn handle(&mut self, task: Task) -> Handled {
        let Task { job: Job { mut message, key }, delivery, line, until, local_attempts } = task;
        let judge = &self.shared.sources[line].judge;
        let attempt = message.attempt().max(1) + local_attempts;
        let needs_message = judge.needs_message;
        if let Some(action) = judge.before(attempt) {
            let message = needs_message.then_some(message);
            self.finished.push(Finished { key, verdict: Verdict::Settle(action), message });
            return Handled::NotAtAll;
        }
        let kept = needs_message.then(|| message.clone());
        if local_attempts > 0 {
            message.set_attempt(attempt);
        }
        message.set_lease(self.lease.begin(delivery, until));
        let span = span(&self.shared, line, &message, attempt);
        self.current = Some(key);
        let mut handled = Handled::AtOnce;
        let end = match self.instance.call(message, &span) {
            Err(panic) => End::Panic(panic),
            Ok(call) => {
                let mut call = pin!(call);
                match poll_fn(|cx| Poll::Ready(poll_call(call.as_mut(), cx, &span, S::Response::into_outcome))).await {
                    Poll::Ready(end) => end,
                    Poll::Pending => {
                        handled = Handled::Waited;
                        let began = Instant::now();
                        self.give_back();
                        self.hand_in();
                        let abort = self.shared.abort.token();
                        let end =
                            finish_call(call, &span, S::Response::into_outcome, self.shared.options.timeout, &abort)
                                .await;
                        self.shared.control.meters.processed(1, began.elapsed());
                        end
                    }
                }
            }
        };
        if matches!(end, End::Panic(_)) {
            self.instance.renew();
        }
        let verdict = conclude(&self.shared, line, attempt, end, &span);
        self.current = None;
        let message = kept.filter(|_| verdict != Verdict::Settle(Action::Ack));
        self.finished.push(Finished { key, verdict, message });
        handled
    }

    /// Hands in what was finished and takes what is next.
    fn turn(&mut self, now: Instant) -> Turn {
        let mut schedule = self.shared.schedule();
        self.shared.complete(&mut schedule, &mut self.finished, &mut self.dues);
        let turn = schedule.take(self.go, now, &self.bell, Some(&self.lease), &mut self.tasks, &mut self.unstarted);
        drop(schedule);
        self.shared.submit(&mut self.dues);
        self.shared.sort_out(&mut self.unstarted);
        turn
    }

    /// Hands in what was finished, before a wait.
    fn hand_in(&mut self) {
        if !self.finished.is_empty() {
            self.shared.complete(&mut self.shared.schedule(), &mut self.finished, &mut self.dues);
            self.shared.submit(&mut self.dues);
        }
    }

    /// Gives back what was taken and not started.
    fn give_back(&mut self) {
        if !self.tasks.is_empty() {
            let late = self.shared.schedule().give_back(&mut self.tasks);
            self.shared.release(late);
        }
    }
}

/// How a message was handled.
enum Handled {
    /// The handler finished without waiting.
    AtOnce,
    /// The handler had to wait.
    Waited,
    /// It was not to be handled any more.
    NotAtAll,
}

/// A worker ends with nothing in its hands, but for one that is aborted, or whose user's future panics as it
/// is dropped. Nothing is lost then either.
impl<Q: Queue, S: Receiver> Drop for Worker<Q, S> {
    fn drop(&mut self) {
        self.give_back();
        if let Some(key) = self.current.take() {
            let verdict = if std::thread::panicking() {
                Verdict::Settle(Action::Retry { delay: Duration::ZERO, reason: None })
            } else {
                Verdict::Abort
            };
            self.finished.push(Finished { key, verdict, message: None });
        }
        self.hand_in();
        self.lease.finish();
    }
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
