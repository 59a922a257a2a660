//! [`DecryptLayer`], of the receive side.

use std::sync::Arc;

use aes_gcm::AeadInOut;
use chappe_core::{BoxError, Error, ErrorKind, Message, Outcome, OutcomeError, Str};
use tower_layer::Layer;

use super::KeyRing;
use super::envelope::{Envelope, associated_data, encodings_below};
use crate::codec::{AES_256_GCM, CONTENT_ENCODING, Codec, Recode};

/// Decrypts the body with the key the message names; see the [module](super).
#[derive(Clone, Debug)]
pub struct DecryptLayer {
    ring: KeyRing,
    required: Arc<[Str]>,
    unencrypted: bool,
}

/// The service of [`DecryptLayer`].
pub type Decrypt<S> = Recode<S, DecryptLayer>;

impl DecryptLayer {
    /// Creates the layer; a message that is not encrypted is rejected.
    #[must_use]
    pub fn new(ring: KeyRing) -> Self {
        Self { ring, required: Arc::new([]), unencrypted: false }
    }

    /// Rejects a message to whose body one of these attributes is not [bound](super::EncryptLayer::bind).
    #[must_use]
    pub fn require_bound<N: Into<Str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.required = names.into_iter().map(Into::into).collect();
        self
    }

    /// Passes on a message that is not encrypted.
    ///
    /// Whoever can publish to the queue can then have any message handled: for the time in which publishers
    /// are moved to encryption, and no longer.
    #[must_use]
    pub fn allow_unencrypted(mut self) -> Self {
        self.unencrypted = true;
        self
    }

    fn decrypt(&self, message: &Message) -> Result<Vec<u8>, BoxError> {
        let envelope = Envelope::parse(message.body())
            .ok_or_else(|| reject(format!("body is marked as {AES_256_GCM} and is not")))?;
        let key = self.ring.find(envelope.key_id).ok_or_else(|| {
            let text = format!("message is encrypted with key {:?}, which is not in the ring", envelope.key_id);
            OutcomeError::new(Outcome::Retry, Error::new(ErrorKind::NotFound, text))
        })?;
        let is_bound = |name: &Str| envelope.bound.iter().any(|bound| bound.eq_ignore_ascii_case(name));
        if let Some(name) = self.required.iter().find(|name| !is_bound(name)) {
            return Err(reject(format!("attribute {name} is not bound to the encrypted body")));
        }
        let attributes = message.attributes();
        let encodings = encodings_below(attributes, true);
        let bound_to = associated_data(envelope.header, encodings, envelope.bound.iter().copied(), attributes);
        let mut out = envelope.ciphertext.to_vec();
        key.cipher
            .decrypt_inout_detached(envelope.nonce.into(), &bound_to, out.as_mut_slice().into(), envelope.tag.into())
            .map_err(|_| {
                let id = envelope.key_id;
                reject(format!("{AES_256_GCM} body or an attribute bound to it was changed, or key {id:?} is another"))
            })?;
        Ok(out)
    }
}

impl Codec for DecryptLayer {
    fn recode(&self, mut message: Message) -> Result<Message, BoxError> {
        let is_encrypted = |encoding: &str| encoding.eq_ignore_ascii_case(AES_256_GCM);
        match CONTENT_ENCODING.last(message.attributes()) {
            Some(last) if is_encrypted(last) => {
                let body = self.decrypt(&message)?;
                message.set_body(body);
                CONTENT_ENCODING.pop(message.attributes_mut());
                Ok(message)
            }
            Some(last) if CONTENT_ENCODING.entries(message.attributes()).any(is_encrypted) => Err(reject(format!(
                "message is encrypted below content encoding {last:?}, which is to be undone first"
            ))),
            _ if self.unencrypted => Ok(message),
            _ => Err(reject("message is not encrypted".to_owned())),
        }
    }
}

impl<S> Layer<S> for DecryptLayer {
    type Service = Decrypt<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Recode::new(inner, self.clone())
    }
}

fn reject(text: String) -> BoxError {
    OutcomeError::reject(Error::new(ErrorKind::Invalid, text)).into()
}
