//! [`ReadCloudEventsLayer`], the receiving half.

use std::task::{Context, Poll};

use chappe_core::{BoxError, Message};
use tower_layer::Layer;
use tower_service::Service;

use super::{Binding, CloudEvent, Mode, ResponseFuture};

/// Turns events into the generic binary form. See the [module](super).
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadCloudEventsLayer {
    binding: Binding,
    reject_others: bool,
}

impl ReadCloudEventsLayer {
    /// Creates a layer that lets messages which are no events through.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says by which protocol events come, which matters where its values are percent-encoded.
    #[must_use]
    pub fn binding(mut self, binding: Binding) -> Self {
        self.binding = binding;
        self
    }

    /// Rejects messages that are no events.
    #[must_use]
    pub fn or_reject(mut self) -> Self {
        self.reject_others = true;
        self
    }

    fn read(&self, message: &mut Message) -> Result<(), BoxError> {
        match Mode::of(message) {
            None if !self.reject_others => Ok(()),
            Some(Mode::Batch) => Ok(()),
            _ => {
                let event = CloudEvent::from_message_of(message, self.binding)?;
                Ok(event.write_to(message, Binding::Generic, Mode::Binary)?)
            }
        }
    }
}

impl<S> Layer<S> for ReadCloudEventsLayer {
    type Service = ReadCloudEvents<S>;

    fn layer(&self, inner: S) -> ReadCloudEvents<S> {
        ReadCloudEvents { inner, layer: *self }
    }
}

/// Made by [`ReadCloudEventsLayer`].
#[derive(Clone, Debug)]
pub struct ReadCloudEvents<S> {
    inner: S,
    layer: ReadCloudEventsLayer,
}

impl<S> ReadCloudEvents<S> {
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

impl<S> Service<Message> for ReadCloudEvents<S>
where
    S: Service<Message, Error: Into<BoxError>>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut message: Message) -> ResponseFuture<S::Future> {
        match self.layer.read(&mut message) {
            Ok(()) => ResponseFuture::passed(self.inner.call(message)),
            Err(error) => ResponseFuture::refused(error),
        }
    }
}
