//! [`BatchWorker`], which hands messages out in batches.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe_core::backend::{Action, Queue};
use chappe_core::{BoxError, IntoResult, LeaseControl, Message, Outcome};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tower_service::Service;
use tracing::Span;

use super::hands::Hands;
use super::instance::{End, Instance, finish_call};
use super::schedule::{Holder, Job, Task, Turn};
use super::shared::{Finished, Shared};
use super::verdict::Verdict;
use super::worker::conclude;

/// What a server hands batches of messages to: any tower service that answers with a result per message, in
/// their order.
///
/// This is a bound, not something to implement. Each result settles its own message, by the rules of
/// [`Receiver`](chappe_core::Receiver). An error of the service, a panic and a timeout count for every
/// message of the batch; a message without a result is retried.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a receiver of batches",
    label = "this is not a `tower::Service<Vec<Message>>` that fits",
    note = "it must be `Service<Vec<Message>, Response = Vec<T>, Error: Into<BoxError>, Future: Send + 'static> + Clone + Send + 'static`, where `T` is `()`, `Outcome`, or a `Result` of one of them"
)]
pub trait BatchReceiver:
    Service<Vec<Message>, Response = Vec<Self::Answer>, Error: Into<BoxError>, Future: Send + 'static>
    + Clone
    + Send
    + 'static
{
    /// What it answers for each message.
    type Answer: IntoResult + Send;
}

impl<S, A> BatchReceiver for S
where
    S: Service<Vec<Message>, Response = Vec<A>, Error: Into<BoxError>, Future: Send + 'static> + Clone + Send + 'static,
    A: IntoResult + Send,
{
    type Answer = A;
}

/// Handles one batch after the other with a service of its own.
pub(super) struct BatchWorker<Q: Queue, S> {
    hands: Hands<Q>,
    instance: Instance<S>,
    running: Vec<Running>,
}

/// A message of the batch that is being handled.
struct Running {
    key: usize,
    line: usize,
    attempt: u32,
    kept: Option<Message>,
    lease: LeaseControl,
}

impl<Q: Queue, S: BatchReceiver> BatchWorker<Q, S> {
    pub(super) fn new(shared: &Arc<Shared<Q>>, prototype: &Arc<Mutex<S>>) -> Self {
        Self { hands: Hands::new(shared), instance: Instance::new(prototype), running: Vec::new() }
    }

    /// Works until the server drains.
    pub(super) async fn run(mut self) {
        let stop = self.hands.shared.stop.token();
        loop {
            if !self.instance.ready(&stop).await {
                return;
            }
            match self.turn() {
                Turn::Work => {}
                Turn::Park => {
                    self.instance.renew();
                    self.hands.bell.notified().await;
                    continue;
                }
                Turn::Leave => return,
            }
            self.fill().await;
            self.handle().await;
            self.hands.hand_in();
        }
    }

    /// Waits for the batch to become full, for as long as its first message may wait.
    async fn fill(&mut self) {
        let options = self.hands.shared.options.batch;
        if options.max_wait.is_zero() {
            return;
        }
        let deadline = Instant::now() + options.max_wait;
        let stop = self.hands.shared.stop.token();
        while self.hands.tasks.len() < options.max {
            if self.hands.shared.schedule().wait_for_more(&self.hands.bell) {
                let over = tokio::select! {
                    () = self.hands.bell.notified() => false,
                    () = sleep_until(deadline) => true,
                    () = stop.stopped() => true,
                };
                if over {
                    if self.hands.shared.schedule().stop_waiting(&self.hands.bell) {
                        // Rung for nothing: it must not wake this worker when it parks next.
                        self.hands.bell = Arc::new(Notify::new());
                    }
                    return;
                }
            }
            self.turn();
        }
    }

    /// Handles the batch that was taken.
    async fn handle(&mut self) {
        if self.hands.shared.is_draining() {
            self.hands.give_back();
            return;
        }
        let messages = self.start();
        if messages.is_empty() {
            return;
        }
        let count = self.running.len();
        let span = self.span();
        let began = Instant::now();
        let end = match self.instance.call(messages, &span) {
            Err(panic) => End::Panic(panic),
            Ok(call) => {
                let abort = self.hands.shared.abort.token();
                finish_call(pin!(call), &span, std::convert::identity, self.hands.shared.options.timeout, &abort).await
            }
        };
        self.hands.shared.control.meters.processed(count as u64, began.elapsed());
        if matches!(end, End::Panic(_)) {
            self.instance.renew();
        }
        self.conclude(end, &span);
    }

    /// Makes messages of the tasks, each with a lease of its own.
    fn start(&mut self) -> Vec<Message> {
        let mut messages = Vec::with_capacity(self.hands.tasks.len());
        let mut schedule = self.hands.shared.schedule();
        for task in self.hands.tasks.drain(..) {
            let Task { job: Job { mut message, key }, delivery, line, local_attempts, .. } = task;
            // It may have been lost while the batch was filling up.
            if schedule.is_lost(key) {
                self.hands.finished.push(Finished { key, verdict: Verdict::Settle(Action::Forget), message: None });
                continue;
            }
            let judge = &self.hands.shared.sources[line].judge;
            let attempt = message.attempt().max(1) + local_attempts;
            if let Some(action) = judge.before(attempt) {
                let message = judge.needs_message.then_some(message);
                self.hands.finished.push(Finished { key, verdict: Verdict::Settle(action), message });
                continue;
            }
            let kept = judge.needs_message.then(|| message.clone());
            if local_attempts > 0 {
                message.set_attempt(attempt);
            }
            let mut lease = LeaseControl::new(Arc::clone(&self.hands.shared.timekeeper));
            let until = schedule.attach(key, &lease);
            message.set_lease(lease.begin(delivery, until));
            self.running.push(Running { key, line, attempt, kept, lease });
            messages.push(message);
        }
        messages
    }

    fn conclude(&mut self, end: End<Vec<S::Answer>>, span: &Span) {
        let mut answers = match end {
            End::Answer(Ok(answers)) => Ok(answers.into_iter()),
            other => Err(other),
        };
        let count = self.running.len();
        if let Ok(answers) = answers.as_ref().map(|answers| answers.len()).map_err(|_| ()) {
            if answers != count {
                tracing::error!(answers, messages = count, "batch receiver answered for another number of messages");
            }
        }
        // A failure of the whole batch is told once and counts for each.
        let failure = answers.as_ref().err().map(Failure::of);
        for Running { key, line, attempt, kept, lease } in self.running.drain(..) {
            lease.finish();
            let end = match (&mut answers, &failure) {
                (Ok(answers), _) => match answers.next() {
                    Some(answer) => End::Answer(answer.into_result()),
                    None => End::Answer(Ok(Outcome::Retry)),
                },
                (Err(_), Some(failure)) => failure.end(),
                (Err(_), None) => End::Answer(Ok(Outcome::Retry)),
            };
            let verdict = conclude(&self.hands.shared, line, attempt, end, span);
            let message = kept.filter(|_| verdict != Verdict::Settle(Action::Ack));
            self.hands.finished.push(Finished { key, verdict, message });
        }
    }

    fn turn(&mut self) -> Turn {
        self.hands.turn(self.hands.shared.options.batch.max, Instant::now(), Holder::None)
    }

    fn span(&self) -> Span {
        let queue = self.running.first().map(|first| &self.hands.shared.sources[first.line].queue);
        tracing::info_span!(
            target: "chappe::server",
            "process",
            otel.kind = "consumer",
            messaging.system = queue.map(|queue| queue.system()),
            messaging.destination.name = queue.map(|queue| queue.destination()),
            messaging.operation.name = "process",
            messaging.operation.type = "process",
            messaging.batch.message_count = self.running.len(),
            error.type = tracing::field::Empty,
            otel.status_code = tracing::field::Empty,
        )
    }
}

/// As that of a worker: nothing is lost if the task ends early.
impl<Q: Queue, S> Drop for BatchWorker<Q, S> {
    fn drop(&mut self) {
        for Running { key, kept: message, lease, .. } in self.running.drain(..) {
            lease.finish();
            let verdict = if std::thread::panicking() {
                Verdict::Settle(Action::Retry { delay: Duration::ZERO, reason: None })
            } else {
                Verdict::Abort
            };
            self.hands.finished.push(Finished { key, verdict, message });
        }
    }
}

/// How a whole batch failed, to be told of each of its messages.
enum Failure {
    Error { outcome: Outcome, text: String },
    Panic(String),
    Timeout(Duration),
    Abort,
}

impl Failure {
    fn of<T>(end: &End<T>) -> Self {
        match end {
            End::Answer(Err(error)) => {
                Self::Error { outcome: Outcome::of_error(&**error), text: Outcome::describe(&**error) }
            }
            End::Panic(text) => Self::Panic(text.clone()),
            End::Timeout(timeout) => Self::Timeout(*timeout),
            End::Answer(Ok(_)) | End::Abort => Self::Abort,
        }
    }

    fn end(&self) -> End<Outcome> {
        match self {
            Self::Error { outcome, text } => {
                End::Answer(Err(chappe_core::OutcomeError::new(outcome.clone(), text.clone()).into()))
            }
            Self::Panic(text) => End::Panic(text.clone()),
            Self::Timeout(timeout) => End::Timeout(*timeout),
            Self::Abort => End::Abort,
        }
    }
}
