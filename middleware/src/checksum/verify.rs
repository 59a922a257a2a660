//! [`VerifyLayer`], of the receive side.

use chappe_core::{BoxError, Error, ErrorKind, Message, OutcomeError};
use tower_layer::Layer;

use super::CONTENT_DIGEST;
use super::algorithm::Algorithm;
use crate::codec::{Codec, Recode};

/// Compares the body with its checksum; see the [module](super).
#[derive(Clone, Copy, Debug, Default)]
pub struct VerifyLayer {
    required: bool,
}

/// The service of [`VerifyLayer`].
pub type Verify<S> = Recode<S, VerifyLayer>;

impl VerifyLayer {
    /// Creates the layer; a message without a checksum is passed on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Rejects a message without a checksum, and with one of an algorithm that is not known here.
    #[must_use]
    pub fn require(mut self) -> Self {
        self.required = true;
        self
    }
}

impl Codec for VerifyLayer {
    fn recode(&self, mut message: Message) -> Result<Message, BoxError> {
        let last = CONTENT_DIGEST.last(message.attributes());
        let known = last.and_then(|entry| Some((Algorithm::named(entry.split_once('=')?.0)?, entry)));
        match known {
            Some((algorithm, entry)) if *entry == algorithm.entry(message.body()) => {
                CONTENT_DIGEST.pop(message.attributes_mut());
                Ok(message)
            }
            Some((algorithm, _)) => {
                let (length, name) = (message.body().len(), algorithm.name());
                Err(reject(format!("body of {length} bytes does not match its {name} checksum")))
            }
            None if !self.required => Ok(message),
            None => Err(reject(match last {
                Some(_) => format!("attribute {} is of an unknown algorithm", CONTENT_DIGEST.name()),
                None => format!("message has no checksum in attribute {}", CONTENT_DIGEST.name()),
            })),
        }
    }
}

impl<S> Layer<S> for VerifyLayer {
    type Service = Verify<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Recode::new(inner, *self)
    }
}

fn reject(text: String) -> BoxError {
    OutcomeError::reject(Error::new(ErrorKind::Invalid, text)).into()
}
