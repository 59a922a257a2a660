//! [`Base64DecodeLayer`], of the receive side.

use ::base64::engine::general_purpose::STANDARD;
use ::base64::{DecodeError, Engine};
use chappe_core::{BoxError, Error, ErrorKind, Message, OutcomeError};
use tower_layer::Layer;

use super::{CONTENT_TRANSFER_ENCODING, is_marked_by_go_msg};
use crate::codec::{BASE64, CONTENT_ENCODING, Codec, Recode};

/// Makes a body bytes again that is marked as base64, in either way; see the [module](super).
#[derive(Clone, Copy, Debug, Default)]
pub struct Base64DecodeLayer(());

/// The service of [`Base64DecodeLayer`].
pub type Base64Decode<S> = Recode<S, Base64DecodeLayer>;

impl Base64DecodeLayer {
    /// Creates the layer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Codec for Base64DecodeLayer {
    fn recode(&self, mut message: Message) -> Result<Message, BoxError> {
        let go_msg = is_marked_by_go_msg(&message);
        if !go_msg && !CONTENT_ENCODING.last(message.attributes()).is_some_and(|it| it.eq_ignore_ascii_case(BASE64)) {
            return Ok(message);
        }
        message.set_body(decode(message.body())?);
        match go_msg {
            true => drop(message.attributes_mut().remove(CONTENT_TRANSFER_ENCODING)),
            false => CONTENT_ENCODING.pop(message.attributes_mut()),
        }
        Ok(message)
    }
}

impl<S> Layer<S> for Base64DecodeLayer {
    type Service = Base64Decode<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Recode::new(inner, *self)
    }
}

fn decode(body: &[u8]) -> Result<Vec<u8>, BoxError> {
    STANDARD
        .decode(body)
        .or_else(|error| {
            let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
            if !body.iter().any(is_break) {
                return Err(error);
            }
            STANDARD.decode(body.iter().copied().filter(|byte| !is_break(byte)).collect::<Vec<_>>())
        })
        .map_err(|error| {
            // The error's own text quotes a byte of the body.
            let flaw = match error {
                DecodeError::InvalidByte(at, _) => format!("byte {at} is none of its symbols"),
                DecodeError::InvalidLastSymbol { .. } => "its end is damaged".to_owned(),
                DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => "its length is wrong".to_owned(),
            };
            let text = format!("body is marked as {BASE64} and is not: {flaw}");
            OutcomeError::reject(Error::new(ErrorKind::Invalid, text)).into()
        })
}
