//! [`ConsumeLayer`], which reads events around a receiver.

use std::any::Any;
use std::error::Error as StdError;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use chappe_middleware::correlation::Correlation;
use chappe_middleware::dry_run::DryRun;
use futures_util::FutureExt;
use tower_layer::Layer;
use tower_service::Service;

use super::failure::{ErrorHandler, Shown};
use super::{Event, Failure, ResponseFuture};
use crate::extract::TYPE_ATTRIBUTES;
use crate::{BoxError, IntoOutcome, Message, Outcome, OutcomeError, Str};

/// Reads the event of each message before a receiver handles it, and tells an error handler when that fails. See
/// the [module](super).
///
/// What is behind it finds the name of the event in the attribute `type`, so a [`Router`](crate::Router) has a
/// handler for each by [`Type`](crate::extract::Type).
#[derive(Clone, Debug)]
pub struct ConsumeLayer {
    on_error: Option<ErrorHandler>,
    max_attempts: u32,
}

impl ConsumeLayer {
    /// Creates a layer without an error handler.
    #[must_use]
    pub fn new() -> Self {
        Self { on_error: None, max_attempts: 16 }
    }

    /// Calls `handler` with every failure, and waits for it before the message is settled. It answers with what
    /// becomes of the message, which is [`failure.outcome`](Failure::outcome) if it has no opinion.
    ///
    /// A receiver that [throttles](Outcome::Throttle) the server has not failed.
    #[must_use]
    pub fn on_error<F>(mut self, handler: impl Fn(Failure) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        self.on_error = Some(ErrorHandler::new(handler));
        self
    }

    /// Says after how many attempts the server gives a message up, which is its own to say: see
    /// [`Server::max_attempts`](crate::Server::max_attempts). The default is 16 here and there. It tells the
    /// error handler whether an attempt was the last.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }
}

impl Default for ConsumeLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for ConsumeLayer {
    type Service = Consume<S>;

    fn layer(&self, inner: S) -> Consume<S> {
        Consume { inner, layer: self.clone() }
    }
}

/// Made by [`ConsumeLayer`].
#[derive(Clone, Debug)]
pub struct Consume<S> {
    inner: S,
    layer: ConsumeLayer,
}

impl<S> Consume<S> {
    /// The service within.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service within, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service within, taken out.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S> Service<Message> for Consume<S>
where
    S: Service<Message, Response: IntoOutcome, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
{
    type Response = Outcome;
    type Error = BoxError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, message: Message) -> ResponseFuture {
        // The one that is ready is called; the clone has yet to become so.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        ResponseFuture::new(self.layer.clone().consume(inner, message))
    }
}

/// What came of a call, its panic included.
enum Ended {
    Answered(Result<Outcome, BoxError>),
    Panicked(Box<dyn Any + Send>),
}

impl ConsumeLayer {
    async fn consume<S>(self, inner: S, message: Message) -> Result<Outcome, BoxError>
    where
        S: Service<Message, Response: IntoOutcome, Error: Into<BoxError>, Future: Send> + Send,
    {
        match Event::from_message(&message) {
            Ok(event) => {
                let story = event.meta.correlation_id.clone().unwrap_or_else(|| event.id.clone());
                let correlation = Correlation::new(story).caused_by(event.id.clone());
                let dry_run = DryRun(event.meta.is_dry_run);
                correlation.scope(dry_run.scope(self.handle(inner, event, message))).await
            }
            Err(error) => self.settle(None, message, Ended::Answered(Err(error.into()))).await,
        }
    }

    async fn handle<S>(self, mut inner: S, event: Event, message: Message) -> Result<Outcome, BoxError>
    where
        S: Service<Message, Response: IntoOutcome, Error: Into<BoxError>, Future: Send> + Send,
    {
        let named = named(message.clone(), &event.name);
        // Called within, so that a panic of the call itself is caught as well.
        let called = async move { inner.call(named).await.map(IntoOutcome::into_outcome).map_err(Into::into) };
        let ended = match AssertUnwindSafe(called).catch_unwind().await {
            Ok(result) => Ended::Answered(result),
            Err(panic) => Ended::Panicked(panic),
        };
        self.settle(Some(event), message, ended).await
    }

    /// Tells the error handler, if there is one and something to tell.
    async fn settle(&self, event: Option<Event>, message: Message, ended: Ended) -> Result<Outcome, BoxError> {
        let (error, outcome, panic) = match ended {
            Ended::Answered(Ok(outcome @ (Outcome::Ack | Outcome::Throttle(_)))) => return Ok(outcome),
            Ended::Answered(result) if self.on_error.is_none() => return result,
            Ended::Answered(Ok(outcome)) => (describe(&outcome).into(), outcome, None),
            Ended::Answered(Err(error)) => match Outcome::of_error(error.as_ref()) {
                Outcome::Throttle(_) => return Err(error),
                outcome => (error, outcome, None),
            },
            Ended::Panicked(panic) => (text_of(&*panic).into(), Outcome::Retry, Some(panic)),
        };
        let error: Arc<dyn StdError + Send + Sync> = Arc::from(error);
        let mut decided = outcome.clone();
        if let Some(on_error) = &self.on_error {
            let had_all = message.attempt() > 0 && message.attempt() >= self.max_attempts;
            let is_last_attempt = had_all || matches!(outcome, Outcome::Reject(_));
            let error = Arc::clone(&error);
            decided = on_error.call(Failure { event, message, error, outcome: outcome.clone(), is_last_attempt }).await;
        }
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        match decided {
            Outcome::Ack => Ok(Outcome::Ack),
            // The error says so itself, and is what the server is to show.
            same if same == Outcome::of_error(error.as_ref()) => Err(Shown(error).into()),
            other => Err(OutcomeError::new(other, Shown(error)).into()),
        }
    }
}

/// The message with the name of its event where routers look for it. The event itself is not put beside it: if
/// the message were published on, it would go along, whatever had become of the body.
fn named(mut message: Message, name: &Str) -> Message {
    let attributes = message.attributes();
    let found = TYPE_ATTRIBUTES.iter().find_map(|name| attributes.get_str(name));
    if found != Some(name.as_str()) {
        message.attributes_mut().insert(TYPE_ATTRIBUTES[0], name.clone());
    }
    message
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Reject(reason) => reason.as_ref().to_owned(),
        Outcome::RetryAfter(pause) => format!("receiver asked for a retry after {pause:?}"),
        _ => "receiver asked for a retry".to_owned(),
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("handler panicked: {}", text.unwrap_or("with something that is no text"))
}
