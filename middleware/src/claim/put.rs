//! [`StoreBodyLayer`], of the publish side.

use std::mem;
use std::task::{Context, Poll};

use bytes::Bytes;
use chappe_core::{BoxError, Message};
use tower_layer::Layer;
use tower_service::Service;

use super::ticket::TICKET;
use super::{ClaimStore, ResponseFuture};
use crate::codec::{CLAIM, CONTENT_ENCODING};

/// The largest body that is published as it is by default: 128 KiB.
///
/// In base64 and with its attributes that fits the narrowest of the brokers, at 256 KiB.
pub const DEFAULT_MAX_BYTES: usize = 128 << 10;

/// Stores large bodies; see the [module](super).
#[derive(Clone, Debug)]
pub struct StoreBodyLayer {
    store: ClaimStore,
    max_bytes: usize,
}

impl StoreBodyLayer {
    /// Creates the layer.
    #[must_use]
    pub fn new(store: ClaimStore) -> Self {
        Self { store, max_bytes: DEFAULT_MAX_BYTES }
    }

    /// Sets the largest body that is published as it is. The default is [128 KiB](DEFAULT_MAX_BYTES).
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }
}

impl<S> Layer<S> for StoreBodyLayer {
    type Service = StoreBody<S>;

    fn layer(&self, inner: S) -> Self::Service {
        StoreBody { inner, layer: self.clone() }
    }
}

/// The service of [`StoreBodyLayer`].
///
/// A call that is dropped may leave a body in the store, and its message published or not.
#[derive(Clone, Debug)]
pub struct StoreBody<S> {
    inner: S,
    layer: StoreBodyLayer,
}

impl<S> StoreBody<S> {
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

impl<S> Service<Message> for StoreBody<S>
where
    S: Service<Message, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, S::Response, S::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut message: Message) -> Self::Future {
        if message.body().len() <= self.layer.max_bytes || message.attributes().contains(TICKET) {
            return ResponseFuture::called(self.inner.call(message), |answer| answer);
        }
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let store = self.layer.store.clone();
        let publish = async move {
            let ticket = store.put(message.body().clone()).await?;
            message.set_body(Bytes::new());
            message.attributes_mut().append(TICKET, ticket.to_string());
            CONTENT_ENCODING.push(message.attributes_mut(), CLAIM);
            // A failure may be one of many tries, of which an earlier one got through: the body stays.
            inner.call(message).await.map_err(Into::into)
        };
        ResponseFuture::stored(publish, |answer| answer)
    }
}
