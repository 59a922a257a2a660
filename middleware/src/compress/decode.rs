//! [`DecompressLayer`], of the receive side.

use chappe_core::{BoxError, Error, ErrorKind, Message, OutcomeError};
use tower_layer::Layer;

use super::format::{Flaw, Format};
use crate::codec::{CONTENT_ENCODING, Codec, Recode, is_of_this_crate};

/// What a body may decompress to by default: 16 MiB.
///
/// It is more than the brokers let through uncompressed, and little enough that a server can have many such
/// bodies at a time.
pub const DEFAULT_MAX_BYTES: usize = 16 << 20;

/// How many compressions behind each other are undone. More than one is odd, and each costs time.
const MAX_FORMATS: usize = 4;

/// Decompresses a body that is marked as compressed; see the [module](super).
#[derive(Clone, Copy, Debug)]
pub struct DecompressLayer {
    max_bytes: usize,
}

/// The service of [`DecompressLayer`].
pub type Decompress<S> = Recode<S, DecompressLayer>;

impl DecompressLayer {
    /// Creates the layer, for every format the crate was built with.
    #[must_use]
    pub fn new() -> Self {
        Self { max_bytes: DEFAULT_MAX_BYTES }
    }

    /// Sets what a body may decompress to; one that gets larger is rejected. The default is
    /// [16 MiB](DEFAULT_MAX_BYTES).
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    fn decompress(&self, format: Format, body: &[u8]) -> Result<Vec<u8>, BoxError> {
        let name = format.name();
        // No format makes nothing of something.
        let flaw = if body.is_empty() {
            Flaw::Corrupt("it is empty".into())
        } else {
            match format.decompress(body, self.max_bytes) {
                Ok(larger) => return Ok(larger),
                Err(flaw) => flaw,
            }
        };
        Err(match flaw {
            Flaw::TooLarge => {
                let (length, max) = (body.len(), self.max_bytes);
                let text = format!("{name} body of {length} bytes decompresses to more than the limit of {max} bytes");
                reject(Error::new(ErrorKind::TooLarge, text))
            }
            Flaw::Corrupt(error) => reject(
                Error::new(ErrorKind::Invalid, format!("body is marked as {name} and is not")).with_source(error),
            ),
            Flaw::Without(feature) => {
                let text = format!("content encoding {name} needs the feature {feature} of chappe");
                reject(Error::new(ErrorKind::Unsupported, text))
            }
        })
    }
}

impl Default for DecompressLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec for DecompressLayer {
    fn recode(&self, mut message: Message) -> Result<Message, BoxError> {
        for _ in 0..=MAX_FORMATS {
            let Some(last) = CONTENT_ENCODING.last(message.attributes()) else { return Ok(message) };
            if is_of_this_crate(last) {
                return Ok(message);
            }
            if !last.eq_ignore_ascii_case("identity") {
                let format = Format::named(last).ok_or_else(|| {
                    reject(Error::new(ErrorKind::Unsupported, format!("content encoding {last:?} is unknown")))
                })?;
                message.set_body(self.decompress(format, message.body())?);
            }
            CONTENT_ENCODING.pop(message.attributes_mut());
        }
        let text = format!("body is compressed more than {MAX_FORMATS} times");
        Err(reject(Error::new(ErrorKind::Invalid, text)))
    }
}

impl<S> Layer<S> for DecompressLayer {
    type Service = Decompress<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Recode::new(inner, *self)
    }
}

fn reject(error: Error) -> BoxError {
    OutcomeError::reject(error).into()
}
