//! [`Base64EncodeLayer`], of the publish side.

use ::base64::Engine;
use ::base64::engine::general_purpose::STANDARD;
use chappe_core::{BoxError, Error, ErrorKind, Message};
use tower_layer::Layer;

use super::{CONTENT_TRANSFER_ENCODING, is_marked_by_go_msg};
use crate::codec::{BASE64, CONTENT_ENCODING, Codec, Recode};

/// Makes the body base64 and marks the message; see the [module](super).
#[derive(Clone, Copy, Debug, Default)]
pub struct Base64EncodeLayer {
    go_msg: bool,
}

/// The service of [`Base64EncodeLayer`].
pub type Base64Encode<S> = Recode<S, Base64EncodeLayer>;

impl Base64EncodeLayer {
    /// Creates the layer; it marks messages in `Content-Encoding`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Marks messages in `Content-Transfer-Encoding`, where go-msg looks.
    ///
    /// This mark does not say what was done before and after, so the layer has to be the last of the publish
    /// side, nearest to the topic, and its twin the first of the receive side.
    #[must_use]
    pub fn go_msg(mut self) -> Self {
        self.go_msg = true;
        self
    }
}

impl Codec for Base64EncodeLayer {
    fn recode(&self, mut message: Message) -> Result<Message, BoxError> {
        if message.body().is_empty() || is_marked_by_go_msg(&message) {
            return Ok(message);
        }
        if self.go_msg && message.attributes().contains(CONTENT_TRANSFER_ENCODING) {
            let text = format!("attribute {CONTENT_TRANSFER_ENCODING} is set to something else than {BASE64}");
            return Err(Error::new(ErrorKind::Invalid, text).into());
        }
        message.set_body(STANDARD.encode(message.body()));
        match self.go_msg {
            true => message.attributes_mut().append(CONTENT_TRANSFER_ENCODING, BASE64),
            false => CONTENT_ENCODING.push(message.attributes_mut(), BASE64),
        }
        Ok(message)
    }
}

impl<S> Layer<S> for Base64EncodeLayer {
    type Service = Base64Encode<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Recode::new(inner, *self)
    }
}
