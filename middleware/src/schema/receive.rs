//! [`ValidateLayer`], the receiving half.

use chappe_core::{BoxError, Message, OutcomeError};
use tower_layer::Layer;

use super::Schemas;
use crate::codec::{Codec, Recode};

/// Made by [`ValidateLayer`].
pub type Validate<S> = Recode<S, ValidateLayer>;

/// Rejects messages whose body does not match its schema. See the [module](super).
#[derive(Clone, Debug)]
pub struct ValidateLayer {
    schemas: Schemas,
}

impl ValidateLayer {
    /// Creates a layer for one [`Schema`](super::Schema), or for several.
    pub fn new(schemas: impl Into<Schemas>) -> Self {
        Self { schemas: schemas.into() }
    }
}

impl<S> Layer<S> for ValidateLayer {
    type Service = Validate<S>;

    fn layer(&self, inner: S) -> Validate<S> {
        Recode::new(inner, self.clone())
    }
}

impl Codec for ValidateLayer {
    fn recode(&self, message: Message) -> Result<Message, BoxError> {
        match self.schemas.check(&message) {
            Ok(()) => Ok(message),
            Err(mismatch) => Err(OutcomeError::reject(mismatch).into()),
        }
    }
}
