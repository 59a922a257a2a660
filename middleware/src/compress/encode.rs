//! [`CompressLayer`], of the publish side.

use chappe_core::{BoxError, Error, ErrorKind, Message};
use tower_layer::Layer;

use super::format::Format;
use crate::codec::{CONTENT_ENCODING, Codec, Recode, is_of_this_crate};

/// The smallest body that is compressed by default.
///
/// Below, the mark and the header of the format eat up what is saved.
pub const DEFAULT_MIN_BYTES: usize = 256;

/// Compresses the body and marks the message; see the [module](super).
#[derive(Clone, Copy, Debug)]
pub struct CompressLayer {
    format: Format,
    level: i32,
    min_bytes: usize,
    always: bool,
}

/// The service of [`CompressLayer`].
pub type Compress<S> = Recode<S, CompressLayer>;

impl CompressLayer {
    /// Compresses with brotli.
    #[cfg(feature = "compress-brotli")]
    #[must_use]
    pub fn brotli() -> Self {
        Self::with_format(Format::Brotli)
    }

    /// Compresses with gzip.
    #[cfg(feature = "compress-gzip")]
    #[must_use]
    pub fn gzip() -> Self {
        Self::with_format(Format::Gzip)
    }

    /// Compresses with lz4, in frames with a checksum of the content.
    ///
    /// go-msg reads this. To write all it would write, add [`always`](Self::always).
    #[cfg(feature = "compress-lz4")]
    #[must_use]
    pub fn lz4() -> Self {
        Self::with_format(Format::Lz4)
    }

    /// Compresses with zstd.
    #[cfg(feature = "compress-zstd")]
    #[must_use]
    pub fn zstd() -> Self {
        Self::with_format(Format::Zstd)
    }

    #[allow(dead_code, reason = "without any format there is no such layer")]
    fn with_format(format: Format) -> Self {
        Self { format, level: format.levels().1, min_bytes: DEFAULT_MIN_BYTES, always: false }
    }

    /// Sets how hard to try, by the levels of the format; higher is smaller and slower.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a level the format does not have; lz4 has none.
    pub fn level(mut self, level: i32) -> Result<Self, Error> {
        let (levels, _) = self.format.levels();
        if levels.start() == levels.end() {
            return Err(Error::new(ErrorKind::Invalid, format!("{} has no levels", self.format.name())));
        }
        if !levels.contains(&level) {
            let (name, first, last) = (self.format.name(), levels.start(), levels.end());
            let text = format!("{name} has no level {level}, only {first} to {last}");
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        self.level = level;
        Ok(self)
    }

    /// Sets the smallest body that is compressed. The default is [256 bytes](DEFAULT_MIN_BYTES).
    #[must_use]
    pub fn min_bytes(mut self, bytes: usize) -> Self {
        self.min_bytes = bytes;
        self
    }

    /// Compresses every body that is not compressed yet, small ones and those that get larger by it, for
    /// readers that look for no mark.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.always = true;
        self
    }
}

impl Codec for CompressLayer {
    fn recode(&self, mut message: Message) -> Result<Message, BoxError> {
        let body = message.body();
        if !self.always && body.len() < self.min_bytes {
            return Ok(message);
        }
        // Compressed, or in a way the receive side would have to refuse.
        if CONTENT_ENCODING.last(message.attributes()).is_some_and(|last| !is_of_this_crate(last)) {
            return Ok(message);
        }
        let smaller = self.format.compress(body, self.level).map_err(|error| {
            let text = format!("body of {} bytes cannot be compressed with {}", body.len(), self.format.name());
            Error::new(ErrorKind::Other, text).with_source(error)
        })?;
        if self.always || smaller.len() < body.len() {
            message.set_body(smaller);
            CONTENT_ENCODING.push(message.attributes_mut(), self.format.name());
        }
        Ok(message)
    }
}

impl<S> Layer<S> for CompressLayer {
    type Service = Compress<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Recode::new(inner, *self)
    }
}
