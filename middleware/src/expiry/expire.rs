//! [`ExpireLayer`], the receiving half.

use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use chappe_core::{BoxError, BoxTopic, IntoOutcome, Message, Outcome, Topic};
use tower_layer::Layer;
use tower_service::Service;

use super::{EXPIRED_AT, ResponseFuture};
use crate::Count;

/// Keeps messages that have expired from being handled. See the [module](super).
#[derive(Clone, Debug, Default)]
pub struct ExpireLayer {
    max_age: Option<Duration>,
    then: Then,
    expired: Count,
}

/// What becomes of a message that has expired.
#[derive(Clone, Debug, Default)]
enum Then {
    #[default]
    Ack,
    Reject,
    Publish(BoxTopic),
}

impl ExpireLayer {
    /// Creates a layer that acknowledges messages whose [`expires`](Message::expires) is over.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has messages expire at this age as well, if not before. One whose broker does not tell when it was
    /// published has no age.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Rejects what has expired to the dead letter of its queue. Where there is none it is retried, as any
    /// message that is rejected.
    #[must_use]
    pub fn or_reject(mut self) -> Self {
        self.then = Then::Reject;
        self
    }

    /// Publishes what has expired to a topic, and acknowledges it after that. It has no date any more, and says
    /// in the attribute `expired-at` which it had. If publishing fails, the message is retried.
    #[must_use]
    pub fn or_publish(mut self, topic: impl Topic + Sync) -> Self {
        self.then = Then::Publish(BoxTopic::new(topic));
        self
    }

    /// How many messages were found expired, once for each attempt.
    #[must_use]
    pub fn expired(&self) -> Count {
        self.expired.clone()
    }

    /// When a message expires, if it does.
    fn date(&self, message: &Message) -> Option<SystemTime> {
        let by_age = self.max_age.and_then(|age| message.published()?.checked_add(age));
        match (message.expires(), by_age) {
            (Some(date), Some(by_age)) => Some(date.min(by_age)),
            (date, by_age) => date.or(by_age),
        }
    }

    fn dispose<F>(&self, message: Message, date: SystemTime, late: Duration) -> ResponseFuture<F> {
        self.expired.add_one();
        match &self.then {
            Then::Ack => ResponseFuture::decided(Outcome::Ack),
            Then::Reject => ResponseFuture::decided(Outcome::reject(format!("message expired {late:?} ago"))),
            Then::Publish(topic) => {
                let topic = topic.clone();
                let message = outdated(message, date);
                ResponseFuture::published(async move { topic.publish(message).await })
            }
        }
    }
}

impl<S> Layer<S> for ExpireLayer {
    type Service = Expire<S>;

    fn layer(&self, inner: S) -> Expire<S> {
        Expire { inner, layer: self.clone() }
    }
}

/// Made by [`ExpireLayer`].
#[derive(Clone, Debug)]
pub struct Expire<S> {
    inner: S,
    layer: ExpireLayer,
}

impl<S> Expire<S> {
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

impl<S> Service<Message> for Expire<S>
where
    S: Service<Message, Response: IntoOutcome, Error: Into<BoxError>>,
{
    type Response = Outcome;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, message: Message) -> ResponseFuture<S::Future> {
        // The clock is not read for messages that never expire.
        let date = self.layer.date(&message);
        match date.and_then(|date| Some((date, SystemTime::now().duration_since(date).ok()?))) {
            None => ResponseFuture::handled(self.inner.call(message)),
            Some((date, late)) => self.layer.dispose(message, date, late),
        }
    }
}

/// A message as it is published after it expired on `date`.
fn outdated(message: Message, date: SystemTime) -> Message {
    let mut message = message.into_outgoing();
    message.set_expires(None);
    let since = date.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    message.attributes_mut().insert(EXPIRED_AT, since.as_millis());
    message
}
