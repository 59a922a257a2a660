//! [`FetchBodyLayer`], of the receive side.

use std::mem;
use std::task::{Context, Poll};

use chappe_core::{BoxError, Error, ErrorKind, IntoOutcome, Message, Outcome, OutcomeError};
use tower_layer::Layer;
use tower_service::Service;

use super::ticket::{TICKET, Ticket};
use super::{ClaimStore, ResponseFuture};
use crate::codec::{CLAIM, CONTENT_ENCODING};

/// The largest body that is fetched by default: 64 MiB.
const DEFAULT_MAX_BYTES: u64 = 64 << 20;

/// At which attempt a message is rejected whose body is not there, by default.
///
/// Stores that tell late what they hold have caught up by then.
pub const DEFAULT_MISSING_ATTEMPTS: u32 = 5;

/// Fetches bodies that were stored; see the [module](super).
#[derive(Clone, Debug)]
pub struct FetchBodyLayer {
    store: ClaimStore,
    max_bytes: u64,
    missing_attempts: u32,
    delete: bool,
}

impl FetchBodyLayer {
    /// Creates the layer.
    #[must_use]
    pub fn new(store: ClaimStore) -> Self {
        Self { store, max_bytes: DEFAULT_MAX_BYTES, missing_attempts: DEFAULT_MISSING_ATTEMPTS, delete: false }
    }

    /// Sets the largest body that is fetched; a message with a larger one is rejected. The default is 64 MiB.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets at which attempt a message is rejected whose body is not in the store; before, it is retried.
    /// The default is [5](DEFAULT_MISSING_ATTEMPTS). Where nobody counts attempts it is retried for ever.
    #[must_use]
    pub fn missing_attempts(mut self, attempts: u32) -> Self {
        self.missing_attempts = attempts;
        self
    }

    /// Deletes a body when the receiver has acknowledged its message.
    ///
    /// Only where the message has one receiver: the others would not find the body. The broker is told
    /// afterwards, so if that gets lost the message comes back, finds its body missing, and ends in the dead
    /// letter although it was handled. Where that is worse than bodies that stay a while, only
    /// [sweep](ClaimStore::sweep).
    #[must_use]
    pub fn delete_acknowledged(mut self) -> Self {
        self.delete = true;
        self
    }

    /// Puts the body back into the message.
    async fn fetch(&self, message: &mut Message) -> Result<Ticket, BoxError> {
        let ticket: Ticket =
            message.attributes().get_str(TICKET).and_then(|text| text.parse().ok()).ok_or_else(|| {
                reject(Error::new(ErrorKind::Invalid, format!("attribute {TICKET} is no ticket of a body")))
            })?;
        if ticket.bytes > self.max_bytes {
            let text = format!("stored body of {} bytes is over the limit of {} bytes", ticket.bytes, self.max_bytes);
            return Err(reject(Error::new(ErrorKind::TooLarge, text)));
        }
        let body = self.store.get(&ticket).await.map_err(|error| match error.kind() {
            ErrorKind::Invalid => reject(error),
            ErrorKind::NotFound if message.attempt() >= self.missing_attempts.max(1) => reject(error),
            _ => error.into(),
        })?;
        message.set_body(body);
        message.attributes_mut().remove(TICKET);
        CONTENT_ENCODING.pop(message.attributes_mut());
        Ok(ticket)
    }
}

impl<S> Layer<S> for FetchBodyLayer {
    type Service = FetchBody<S>;

    fn layer(&self, inner: S) -> Self::Service {
        FetchBody { inner, layer: self.clone() }
    }
}

/// The service of [`FetchBodyLayer`]; it answers with an [`Outcome`], having looked at the receiver's.
#[derive(Clone, Debug)]
pub struct FetchBody<S> {
    inner: S,
    layer: FetchBodyLayer,
}

impl<S> FetchBody<S> {
    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the inner service out.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S> Service<Message> for FetchBody<S>
where
    S: Service<Message, Response: IntoOutcome, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
{
    type Response = Outcome;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, S::Response, Outcome>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut message: Message) -> Self::Future {
        if !CONTENT_ENCODING.last(message.attributes()).is_some_and(|last| last.eq_ignore_ascii_case(CLAIM)) {
            return ResponseFuture::called(self.inner.call(message), S::Response::into_outcome);
        }
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        let receive = async move {
            let ticket = layer.fetch(&mut message).await?;
            let outcome = inner.call(message).await.map_err(Into::into)?.into_outcome();
            if layer.delete && outcome == Outcome::Ack {
                layer.store.delete(&ticket).await;
            }
            Ok(outcome)
        };
        ResponseFuture::stored(receive, S::Response::into_outcome)
    }
}

fn reject(error: Error) -> BoxError {
    OutcomeError::reject(error).into()
}
