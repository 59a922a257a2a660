//! [`ReadCloudEventsLayer`], the receiving half.

use chappe_core::{BoxError, Message};
use tower_layer::Layer;

use super::{Binding, CloudEvent, Mode};
use crate::codec::{Codec, Recode};

/// Made by [`ReadCloudEventsLayer`].
pub type ReadCloudEvents<S> = Recode<S, ReadCloudEventsLayer>;

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
        Recode::new(inner, *self)
    }
}

impl Codec for ReadCloudEventsLayer {
    fn recode(&self, mut message: Message) -> Result<Message, BoxError> {
        self.read(&mut message)?;
        Ok(message)
    }
}
