//! [`WriteCloudEventsLayer`], the publishing half.

use std::time::SystemTime;

use chappe_core::{BoxError, Error, ErrorKind, Message, Str};
use tower_layer::Layer;

use super::{Binding, CONTENT_TYPE, CloudEvent, Mode};
use crate::codec::{Codec, Recode};

/// The attribute that says what kind of message one is.
const TYPE: &str = "type";

/// Made by [`WriteCloudEventsLayer`].
pub type WriteCloudEvents<S> = Recode<S, WriteCloudEventsLayer>;

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
        Recode::new(inner, self.clone())
    }
}

impl Codec for WriteCloudEventsLayer {
    fn recode(&self, mut message: Message) -> Result<Message, BoxError> {
        self.write(&mut message)?;
        Ok(message)
    }
}

fn wrapped(message: &Message, source: Str) -> Result<CloudEvent, Error> {
    let text = |name: &str| message.attributes().get_str(name).map(Str::new);
    let kind = text(TYPE)
        .ok_or_else(|| Error::new(ErrorKind::Invalid, "message without the attribute type cannot become an event"))?;
    let id = message.id().map_or_else(|| uuid::Uuid::new_v4().to_string().into(), |id| id.to_str());
    let mut event = CloudEvent::new(id, source, kind);
    event.set_time(SystemTime::now());
    event.data = message.body().clone();
    event.data_content_type = text(CONTENT_TYPE);
    Ok(event)
}
