//! brotli.

use std::io;

use ::brotli::enc::BrotliEncoderParams;
use ::brotli::{BrotliDecompressStream, BrotliResult, BrotliState, HeapAlloc, HuffmanCode};

use super::format::Flaw;

/// The window, as a power of two; the largest that every decoder has to support.
///
/// # Source
///
/// <https://www.rfc-editor.org/rfc/rfc7932#section-9.1>
const MAX_WINDOW_BITS: i32 = 24;
const MIN_WINDOW_BITS: i32 = 10;

/// What the buffer grows by at least.
const MIN_GROWTH_BYTES: usize = 1024;

pub(super) fn compress(mut body: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let mut parameters = BrotliEncoderParams { quality: level, size_hint: body.len(), ..Default::default() };
    // A window larger than the body costs memory and gains nothing.
    let bits = usize::BITS - body.len().leading_zeros();
    parameters.lgwin = i32::try_from(bits).unwrap_or(MAX_WINDOW_BITS).clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS);
    let mut out = Vec::with_capacity(body.len() / 2);
    ::brotli::BrotliCompress(&mut body, &mut out, &parameters)?;
    Ok(out)
}

/// Straight into the buffer: the reader of the library hides what is behind the end.
pub(super) fn decompress(body: &[u8], max_bytes: usize) -> Result<Vec<u8>, Flaw> {
    let mut state =
        BrotliState::new_strict(HeapAlloc::new(0), HeapAlloc::new(0), HeapAlloc::new(HuffmanCode::default()));
    let room = max_bytes.saturating_add(1);
    let mut out = vec![0; body.len().saturating_mul(4).clamp(MIN_GROWTH_BYTES, room.max(MIN_GROWTH_BYTES))];
    let (mut left, mut read, mut free, mut written, mut total) = (body.len(), 0, out.len(), 0, 0);
    loop {
        let result = BrotliDecompressStream(
            &mut left,
            &mut read,
            body,
            &mut free,
            &mut written,
            &mut out,
            &mut total,
            &mut state,
        );
        if written > max_bytes {
            return Err(Flaw::TooLarge);
        }
        match result {
            BrotliResult::ResultSuccess if left == 0 => {
                out.truncate(written);
                return Ok(out);
            }
            BrotliResult::ResultSuccess => return Err(Flaw::Corrupt("something is behind its end".into())),
            BrotliResult::NeedsMoreOutput => {
                out.resize(out.len().saturating_mul(2).min(room), 0);
                free = out.len() - written;
            }
            BrotliResult::NeedsMoreInput => return Err(Flaw::Corrupt("it is cut off".into())),
            BrotliResult::ResultFailure => return Err(Flaw::Corrupt("it is damaged".into())),
        }
    }
}
