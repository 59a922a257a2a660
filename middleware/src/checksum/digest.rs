//! [`DigestLayer`], of the publish side.

use chappe_core::{BoxError, Message};
use tower_layer::Layer;

use super::CONTENT_DIGEST;
use super::algorithm::Algorithm;
use crate::codec::{Codec, Recode};

/// Adds a checksum of the body; see the [module](super).
#[derive(Clone, Copy, Debug)]
pub struct DigestLayer(Algorithm);

/// The service of [`DigestLayer`].
pub type Digest<S> = Recode<S, DigestLayer>;

impl DigestLayer {
    /// Adds a CRC-32C, of 4 bytes.
    #[must_use]
    pub fn crc32c() -> Self {
        Self(Algorithm::Crc32c)
    }

    /// Adds a SHA-256, of 32 bytes.
    #[must_use]
    pub fn sha256() -> Self {
        Self(Algorithm::Sha256)
    }
}

impl Codec for DigestLayer {
    fn recode(&self, mut message: Message) -> Result<Message, BoxError> {
        let entry = self.0.entry(message.body());
        CONTENT_DIGEST.push(message.attributes_mut(), entry);
        Ok(message)
    }
}

impl<S> Layer<S> for DigestLayer {
    type Service = Digest<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Recode::new(inner, *self)
    }
}
