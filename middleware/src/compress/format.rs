//! [`Format`], what each format of compression is called, and where it is done.

use std::ops::RangeInclusive;

use chappe_core::BoxError;

/// A format of compression. All are known by name, also where the crate was built without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Brotli,
    Gzip,
    Lz4,
    Zstd,
}

/// Why a body could not be decompressed.
#[derive(Debug)]
#[allow(dead_code, reason = "what can go wrong depends on the features")]
pub(super) enum Flaw {
    /// It decompresses to more than the limit.
    TooLarge,
    Corrupt(BoxError),
    /// The crate was built without this feature.
    Without(&'static str),
}

impl Format {
    /// The format with this name in `Content-Encoding`.
    pub(super) fn named(name: &str) -> Option<Self> {
        let known = [Self::Brotli, Self::Gzip, Self::Lz4, Self::Zstd];
        let same = |format: &Self| format.name().eq_ignore_ascii_case(name);
        // An alias: <https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.3>.
        known.into_iter().find(same).or_else(|| name.eq_ignore_ascii_case("x-gzip").then_some(Self::Gzip))
    }

    /// The name in `Content-Encoding`.
    ///
    /// # Source
    ///
    /// <https://www.iana.org/assignments/http-parameters>; that of lz4 is go-msg's.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The levels there are, and the default.
    pub(super) fn levels(self) -> (RangeInclusive<i32>, i32) {
        match self {
            Self::Brotli => (0..=11, 5),
            Self::Gzip => (0..=9, 6),
            Self::Lz4 => (0..=0, 0),
            Self::Zstd => (-131_072..=22, 3),
        }
    }

    #[cfg_attr(not(feature = "compress-gzip"), allow(unused_variables, reason = "formats use what they need"))]
    pub(super) fn compress(self, body: &[u8], level: i32) -> Result<Vec<u8>, BoxError> {
        match self {
            #[cfg(feature = "compress-brotli")]
            Self::Brotli => Ok(super::brotli::compress(body, level)?),
            #[cfg(feature = "compress-gzip")]
            Self::Gzip => Ok(super::gzip::compress(body, level)?),
            #[cfg(feature = "compress-lz4")]
            Self::Lz4 => Ok(super::lz4::compress(body)),
            #[cfg(feature = "compress-zstd")]
            Self::Zstd => Ok(super::zstd::compress(body, level)?),
            #[allow(unreachable_patterns, reason = "what is left depends on the features")]
            _ => unreachable!("a layer of this format cannot be made without its feature"),
        }
    }

    #[cfg_attr(not(feature = "compress-gzip"), allow(unused_variables, reason = "formats use what they need"))]
    pub(super) fn decompress(self, body: &[u8], max_bytes: usize) -> Result<Vec<u8>, Flaw> {
        match self {
            #[cfg(feature = "compress-brotli")]
            Self::Brotli => super::brotli::decompress(body, max_bytes),
            #[cfg(not(feature = "compress-brotli"))]
            Self::Brotli => Err(Flaw::Without("compress-brotli")),
            #[cfg(feature = "compress-gzip")]
            Self::Gzip => super::gzip::decompress(body, max_bytes),
            #[cfg(not(feature = "compress-gzip"))]
            Self::Gzip => Err(Flaw::Without("compress-gzip")),
            #[cfg(feature = "compress-lz4")]
            Self::Lz4 => super::lz4::decompress(body, max_bytes),
            #[cfg(not(feature = "compress-lz4"))]
            Self::Lz4 => Err(Flaw::Without("compress-lz4")),
            #[cfg(feature = "compress-zstd")]
            Self::Zstd => super::zstd::decompress(body, max_bytes),
            #[cfg(not(feature = "compress-zstd"))]
            Self::Zstd => Err(Flaw::Without("compress-zstd")),
        }
    }
}

/// Reads until the end, but no more than one byte beyond the limit.
#[cfg(any(feature = "compress-gzip", feature = "compress-zstd"))]
pub(super) fn read_up_to(reader: impl std::io::Read, body: &[u8], max_bytes: usize) -> Result<Vec<u8>, Flaw> {
    use std::io::Read;

    // Most text is compressed to a third or a quarter.
    let mut out = Vec::with_capacity(body.len().saturating_mul(4).min(max_bytes));
    let mut reader = reader.take((max_bytes as u64).saturating_add(1));
    reader.read_to_end(&mut out).map_err(|error| Flaw::Corrupt(error.into()))?;
    if out.len() > max_bytes { Err(Flaw::TooLarge) } else { Ok(out) }
}
