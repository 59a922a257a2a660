use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};

use chappe_core::{BoxError, Error, ErrorKind, IntoOutcome, Lease, Message, Outcome, OutcomeError, Topic};
use futures_util::future::BoxFuture;
use pin_project::pin_project;

use super::{Grave, letter};

/// The future of [`DeadLetter`](super::DeadLetter).
#[must_use = "futures do nothing unless polled"]
#[pin_project]
pub struct ResponseFuture<F, T> {
    #[pin]
    state: State<F, T>,
}

#[pin_project(project = StateProject)]
enum State<F, T> {
    Called {
        #[pin]
        call: F,
        kept: Kept<T>,
    },
    Buried(BoxFuture<'static, Result<Outcome, BoxError>>, PhantomData<fn() -> T>),
}

/// What a dead letter is made of.
struct Kept<T> {
    grave: Arc<Grave<T>>,
    message: Message,
}

impl<F, T: Topic> ResponseFuture<F, T> {
    pub(super) fn call(call: F, grave: Arc<Grave<T>>, message: Message) -> Self {
        Self { state: State::Called { call, kept: Kept { grave, message } } }
    }

    pub(super) fn bury(grave: &Grave<T>, message: Message, reason: &str) -> Self {
        Self { state: State::Buried(grave.bury(message, reason), PhantomData) }
    }
}

impl<F, R, E, T> Future for ResponseFuture<F, T>
where
    F: Future<Output = Result<R, E>>,
    R: IntoOutcome,
    E: Into<BoxError>,
    T: Topic,
{
    type Output = Result<Outcome, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        let burial = match state.as_mut().project() {
            StateProject::Buried(burial, _) => return burial.as_mut().poll(cx),
            StateProject::Called { call, kept: Kept { grave, message } } => {
                let answer = ready!(call.poll(cx)).map(IntoOutcome::into_outcome).map_err(Into::into);
                match grave.reason(message, &answer) {
                    None => return Poll::Ready(answer),
                    Some(reason) => grave.bury(std::mem::take(message), &reason),
                }
            }
        };
        state.set(State::Buried(burial, PhantomData));
        match state.project() {
            StateProject::Buried(burial, _) => burial.as_mut().poll(cx),
            StateProject::Called { .. } => unreachable!("the state was set above"),
        }
    }
}

impl<F, T> fmt::Debug for ResponseFuture<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<T: Topic> Grave<T> {
    /// Why the message is to be given up, if it is.
    fn reason(&self, message: &Message, answer: &Result<Outcome, BoxError>) -> Option<Arc<str>> {
        let (outcome, error) = match answer {
            Ok(Outcome::Ack) => return None,
            Ok(outcome) => (outcome.clone(), None),
            Err(error) => (Outcome::of_error(&**error), Some(error)),
        };
        // Whoever has it now may handle it well.
        if message.lease().and_then(Lease::is_cancelled).is_some() {
            return None;
        }
        match outcome {
            Outcome::Reject(reason) => Some(reason),
            Outcome::Retry | Outcome::RetryAfter(_) if message.attempt() >= self.max_attempts => {
                let failure =
                    error.map_or_else(|| "receiver asked for a retry".to_owned(), |error| Outcome::describe(&**error));
                Some(format!("attempt {} of {} failed: {failure}", message.attempt(), self.max_attempts).into())
            }
            _ => None,
        }
    }

    /// Publishes a dead letter.
    fn bury(&self, message: Message, reason: &str) -> BoxFuture<'static, Result<Outcome, BoxError>> {
        let mut topic = self.topic.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let name = letter::name(&message);
        let letter = letter::write(message, reason);
        tracing::warn!(target: "chappe::dead_letter", message = %name, reason, "message is a dead letter");
        let publish = async move {
            poll_fn(|cx| topic.poll_ready(cx)).await.map_err(Into::into)?;
            topic.call(letter).await.map_err(Into::into)
        };
        Box::pin(async move { publish.await.map(|_| Outcome::Ack).map_err(|error| unburied(&name, error)) })
    }
}

/// A dead letter that could not be published is to be retried, even if the topic rejects it: what it is
/// rejected for is the dead letter, and nothing must come of that for the message.
fn unburied(name: &str, error: BoxError) -> BoxError {
    let outcome = match Outcome::of_error(&*error) {
        outcome @ (Outcome::RetryAfter(_) | Outcome::Throttle(_)) => outcome,
        _ => Outcome::Retry,
    };
    let kind = error.downcast_ref::<Error>().map_or(ErrorKind::Other, Error::kind);
    let error = Error::new(kind, format!("dead letter of message {name} could not be published")).with_source(error);
    OutcomeError::new(outcome, error).into()
}
