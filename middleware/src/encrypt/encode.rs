//! [`EncryptLayer`], of the publish side.

use std::sync::Arc;

use aes_gcm::AeadInOut;
use chappe_core::{BoxError, Error, ErrorKind, Message, Str};
use tower_layer::Layer;

use super::KeyRing;
use super::envelope::{
    MAX_NAME_BYTES, MAX_NAMES, NONCE_BYTES, TAG_BYTES, associated_data, encodings_below, write_header,
};
use crate::codec::{AES_256_GCM, CONTENT_ENCODING, Codec, Recode};

/// Encrypts the body with the current key of a ring; see the [module](super).
#[derive(Clone, Debug)]
pub struct EncryptLayer {
    ring: KeyRing,
    bound: Arc<[Str]>,
}

/// The service of [`EncryptLayer`].
pub type Encrypt<S> = Recode<S, EncryptLayer>;

impl EncryptLayer {
    /// Creates the layer; no attribute is bound.
    #[must_use]
    pub fn new(ring: KeyRing) -> Self {
        Self { ring, bound: Arc::new([]) }
    }

    /// Binds attributes, by their names, to the body: what they are, in their order, or that they are
    /// missing. The names are in the message, so the receive side needs not be told.
    ///
    /// Bind only what neither the broker nor a layer behind this one changes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for more than 255 names, and for a name longer than 255 bytes.
    pub fn bind<N: Into<Str>>(mut self, names: impl IntoIterator<Item = N>) -> Result<Self, Error> {
        self.bound = names.into_iter().map(Into::into).collect();
        if self.bound.len() > MAX_NAMES || self.bound.iter().any(|name| name.len() > MAX_NAME_BYTES) {
            let text = format!("at most {MAX_NAMES} attributes with names of {MAX_NAME_BYTES} bytes can be bound");
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        Ok(self)
    }
}

impl Codec for EncryptLayer {
    fn recode(&self, mut message: Message) -> Result<Message, BoxError> {
        let (key, body) = (self.ring.current(), message.body());
        let names: usize = self.bound.iter().map(|name| name.len() + 1).sum();
        let around = key.id.len() + names + NONCE_BYTES + TAG_BYTES + 3;
        let mut out = Vec::with_capacity(body.len() + around);
        write_header(&mut out, &key.id, &self.bound);

        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "operating system has no random numbers").with_source(error)
        })?;
        let attributes = message.attributes();
        let bound = self.bound.iter().map(|name| name.as_str());
        let bound_to = associated_data(&out, encodings_below(attributes, false), bound, attributes);
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(body);
        let tag = key
            .cipher
            .encrypt_inout_detached(&nonce.into(), &bound_to, out[start..].as_mut().into())
            .map_err(|_| Error::new(ErrorKind::TooLarge, "body is over the limit of AES-GCM, 64 GiB"))?;
        out.extend_from_slice(&tag);

        message.set_body(out);
        CONTENT_ENCODING.push(message.attributes_mut(), AES_256_GCM);
        Ok(message)
    }
}

impl<S> Layer<S> for EncryptLayer {
    type Service = Encrypt<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Recode::new(inner, self.clone())
    }
}
