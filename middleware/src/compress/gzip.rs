//! gzip.

use std::io::{self, Write};

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::format::{Flaw, read_up_to};

pub(super) fn compress(body: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let out = Vec::with_capacity(body.len() / 2);
    let mut encoder = GzEncoder::new(out, Compression::new(level.unsigned_abs()));
    encoder.write_all(body)?;
    encoder.finish()
}

/// Of one that goes on after its end, all parts: the other decoder would leave them out silently.
pub(super) fn decompress(body: &[u8], max_bytes: usize) -> Result<Vec<u8>, Flaw> {
    read_up_to(MultiGzDecoder::new(body), body, max_bytes)
}
