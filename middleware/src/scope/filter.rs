//! [`FilterScopeLayer`], the receiving half.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use chappe_core::{IntoOutcome, Message, Outcome, Str};
use tower_layer::Layer;
use tower_service::Service;

use super::{ResponseFuture, SCOPE};
use crate::Count;

/// How much of another scope a reason shows.
const SHOWN_CHARS: usize = 64;

/// What becomes of a message that is for somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unmatched {
    /// It is acknowledged, and so forgotten.
    Ack,
    /// It is handled all the same.
    Pass,
    /// It goes to the dead letter, with the reason.
    Reject,
    /// It is given back, not to be delivered before this time has passed. The server counts an attempt.
    RetryAfter(Duration),
}

/// Lets only messages of some scopes through. See the [module](super).
#[derive(Clone, Debug)]
pub struct FilterScopeLayer {
    scopes: Arc<[Str]>,
    others: Unmatched,
    unscoped: Unmatched,
    unmatched: Count,
}

impl FilterScopeLayer {
    /// Lets messages of one scope through; `others` is what becomes of the rest.
    pub fn new(scope: impl Into<Str>, others: Unmatched) -> Self {
        Self::one_of([scope], others)
    }

    /// Lets messages of any of these scopes through; `others` is what becomes of the rest.
    pub fn one_of<V: Into<Str>>(scopes: impl IntoIterator<Item = V>, others: Unmatched) -> Self {
        let scopes = scopes.into_iter().map(Into::into).collect();
        Self { scopes, others, unscoped: others, unmatched: Count::default() }
    }

    /// Says what becomes of messages without a scope; without it, what becomes of those of another.
    #[must_use]
    pub fn unscoped(mut self, decision: Unmatched) -> Self {
        self.unscoped = decision;
        self
    }

    /// How many messages had another scope or none, whatever became of them.
    #[must_use]
    pub fn unmatched(&self) -> Count {
        self.unmatched.clone()
    }

    /// What becomes of a message instead of being handled.
    fn judge(&self, message: &Message) -> Option<Outcome> {
        let scope = message.attributes().get_str(SCOPE);
        let decision = match scope {
            Some(scope) if self.scopes.iter().any(|ours| ours.as_str() == scope) => return None,
            Some(_) => self.others,
            None => self.unscoped,
        };
        self.unmatched.add_one();
        match decision {
            Unmatched::Ack => Some(Outcome::Ack),
            Unmatched::Pass => None,
            Unmatched::Reject => Some(Outcome::reject(self.describe(scope))),
            Unmatched::RetryAfter(pause) => Some(Outcome::RetryAfter(pause)),
        }
    }

    fn describe(&self, scope: Option<&str>) -> String {
        match scope {
            Some(scope) => {
                let shown: String = scope.chars().take(SHOWN_CHARS).collect();
                format!("message of scope {shown:?}, only {:?} are handled here", self.scopes)
            }
            None => format!("message has no scope, only {:?} are handled here", self.scopes),
        }
    }
}

impl<S> Layer<S> for FilterScopeLayer {
    type Service = FilterScope<S>;

    fn layer(&self, inner: S) -> FilterScope<S> {
        FilterScope { inner, filter: self.clone() }
    }
}

/// Made by [`FilterScopeLayer`].
#[derive(Clone, Debug)]
pub struct FilterScope<S> {
    inner: S,
    filter: FilterScopeLayer,
}

impl<S> FilterScope<S> {
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

impl<S> Service<Message> for FilterScope<S>
where
    S: Service<Message, Response: IntoOutcome>,
{
    type Response = Outcome;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, message: Message) -> ResponseFuture<S::Future> {
        match self.filter.judge(&message) {
            None => ResponseFuture::handled(self.inner.call(message)),
            Some(outcome) => ResponseFuture::decided(outcome),
        }
    }
}
