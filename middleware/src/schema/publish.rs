//! [`ValidatePublishLayer`], the publishing half.

use chappe_core::{BoxError, Error, ErrorKind, Message};
use tower_layer::Layer;

use super::Schemas;
use crate::codec::{Codec, Recode};

/// Made by [`ValidatePublishLayer`].
pub type ValidatePublish<S> = Recode<S, ValidatePublishLayer>;

/// Refuses to publish messages whose body does not match its schema, with
/// [`Invalid`](ErrorKind::Invalid). See the [module](super).
#[derive(Clone, Debug)]
pub struct ValidatePublishLayer {
    schemas: Schemas,
}

impl ValidatePublishLayer {
    /// Creates a layer for one [`Schema`](super::Schema), or for several.
    pub fn new(schemas: impl Into<Schemas>) -> Self {
        Self { schemas: schemas.into() }
    }
}

impl<S> Layer<S> for ValidatePublishLayer {
    type Service = ValidatePublish<S>;

    fn layer(&self, inner: S) -> ValidatePublish<S> {
        Recode::new(inner, self.clone())
    }
}

impl Codec for ValidatePublishLayer {
    fn recode(&self, message: Message) -> Result<Message, BoxError> {
        match self.schemas.check(&message) {
            Ok(()) => Ok(message),
            Err(mismatch) => Err(Error::new(ErrorKind::Invalid, mismatch.to_string()).into()),
        }
    }
}
