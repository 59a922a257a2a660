//! [`WriteCloudEventsLayer`], the publishing half.

use std::task::{Context, Poll};
use std::time::SystemTime;

use chappe_core::{BoxError, Error, ErrorKind, Message, Str};
use tower_layer::Layer;
use tower_service::Service;

use super::{Binding, CONTENT_TYPE, CloudEvent, Mode, ResponseFuture};

/// The attribute that says what kind of message one is.
const TYPE: &str = "type";

/// Writes events the way a protocol wants them. See the [module](super).
#[derive(Clone, Debug)]
pub struct WriteCloudEventsLayer {
    binding: Binding,
    mode: Mode,
    source: Option<Str>,
}

impl WriteCloudEventsLayer {
    /// Creates a layer for a protocol, in its [default mode](Binding::default_mode), that publishes messages
    /// which are no events as they are.
    #[must_use]
    pub fn new(binding: Binding) -> Self {
        Self { binding, mode: binding.default_mode(), source: None }
    }

    /// Writes events in the binary mode.
    #[must_use]
    pub fn binary(mut self) -> Self {
        self.mode = Mode::Binary;
        self
    }

    /// Writes events in the structured mode.
    #[must_use]
    pub fn structured(mut self) -> Self {
        self.mode = Mode::Structured;
        self
    }

    /// Makes events of messages that are none: from this source, of the type in the attribute `type`, now. The
    /// id is that of the message, or a random one. A message without a type is refused.
    #[must_use]
    pub fn wrap(mut self, source: impl Into<Str>) -> Self {
        self.source = Some(source.into());
        self
    }

    fn write(&self, message: &mut Message) -> Result<(), Error> {
        let event = match (Mode::of(message), &self.source) {
            (Some(Mode::Batch), _) | (None, None) => return Ok(()),
            (Some(_), _) => {
                CloudEvent::from_message(message).map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))?
            }
            (None, Some(source)) => wrapped(message, source.clone())?,
        };
        event.write_to(message, self.binding, self.mode)
    }
}

impl<S> Layer<S> for WriteCloudEventsLayer {
    type Service = WriteCloudEvents<S>;

    fn layer(&self, inner: S) -> WriteCloudEvents<S> {
        WriteCloudEvents { inner, layer: self.clone() }
    }
}

/// Made by [`WriteCloudEventsLayer`].
#[derive(Clone, Debug)]
pub struct WriteCloudEvents<S> {
    inner: S,
    layer: WriteCloudEventsLayer,
}

impl<S> WriteCloudEvents<S> {
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

impl<S> Service<Message> for WriteCloudEvents<S>
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
        match self.layer.write(&mut message) {
            Ok(()) => ResponseFuture::passed(self.inner.call(message)),
            Err(error) => ResponseFuture::refused(error),
        }
    }
}

fn wrapped(message: &Message, source: Str) -> Result<CloudEvent, Error> {
    let text = |name: &str| message.attributes().get_str(name).map(|text| Str::from(text.to_owned()));
    let kind = text(TYPE)
        .ok_or_else(|| Error::new(ErrorKind::Invalid, "message without the attribute type cannot become an event"))?;
    let id = message.id().map_or_else(|| uuid::Uuid::new_v4().to_string().into(), |id| id.to_str());
    let mut event = CloudEvent::new(id, source, kind);
    event.set_time(SystemTime::now());
    event.data = message.body().clone();
    event.data_content_type = text(CONTENT_TYPE);
    Ok(event)
}
